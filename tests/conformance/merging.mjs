// Documents at random, with keys that stand in several places, in fragments and under directives: graphql-js says which of them
// may be merged, and what each comes to with every field once. SEED repeats a run; DOCUMENTS (1000) is how many there are.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { buildSchema, getNamedType, isAbstractType, isCompositeType, isLeafType, isRequiredArgument, parse, print, validate } from 'graphql'
import { collectFields, collectSubfields } from 'graphql/execution/collectFields.js'

const SCHEMA = buildSchema(readFileSync(join(import.meta.dirname, '../../schema.graphql'), 'utf8'))
/** What is asked of: what stays as it is while nobody does anything. */
const ASKED = ['Service', 'Pipeline', 'Deployment', 'Runtime', 'Node', 'ServiceConnection', 'ServiceEdge', 'DeploymentConnection', 'DeploymentEdge', 'PageInfo', 'SeverityCounts', 'ContainerSpec']
const ARGUMENTS = { services: ['', '', '(first: 2)'], deployments: ['', '', '(first: 1)'], latestDeployment: ['', '', '(environment: "production")', '(environment: "none")'] }
const DIRECTIVES = ['', '', '', '', '', ' @include(if: $yes)', ' @include(if: $no)', ' @skip(if: $no)', ' @skip(if: true)']
const CONDITIONS = { Service: ['Service', 'Node', ''], Node: ['Service', 'Pipeline', 'Node', 'Runtime', ''] }
const VARIABLES = { yes: true, no: false }

/** Numbers below a bound that a seed tells. */
function dice(seed) {
  let state = seed >>> 0
  return bound => {
    state = (state + 0x6d2b79f5) >>> 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return ((word ^ (word >>> 14)) >>> 0) % bound
  }
}

/** A document that asks for services, and for one by its id. */
function made(roll, service) {
  const one = list => list[roll(list.length)]
  const fragments = []
  const field = (type, depth) => {
    const known = Object.values(type.getFields()).filter(({ name, type: of, args }) => {
      const given = getNamedType(of)
      return !args.some(isRequiredArgument) && (isLeafType(given) ? !args.length : depth > 0 && ASKED.includes(given.name)) && name !== 'services'
    })
    const { name, type: of } = one(known)
    const given = getNamedType(of)
    const alias = roll(12) ? '' : `${one(['x', 'y', 'id', 'name'])}: `
    return `${alias}${name}${one(ARGUMENTS[name] ?? [''])}${one(DIRECTIVES)}${isCompositeType(given) ? set(given, depth - 1) : ''}`
  }
  const item = (type, depth) => {
    const kind = roll(10)
    // An object is more than its interface, and not to be asked for it there.
    if (type.name === 'Node' && roll(40) === 0) return 'name'
    if (kind < 6 || depth === 0) return roll(12) ? field(type, depth) : `__typename${one(DIRECTIVES)}`
    const on = one(CONDITIONS[type.name] ?? [type.name, ''])
    const inner = on ? SCHEMA.getType(on) : type
    if (kind < 8 || !on) return `...${on && ` on ${on}`}${one(DIRECTIVES)}${set(inner, depth - 1)}`
    const name = `F${fragments.length}`
    fragments.push('')
    fragments[Number(name.slice(1))] = `fragment ${name} on ${on}${set(inner, depth - 1)}`
    return `...${name}${one(DIRECTIVES)}${roll(3) ? '' : ` ...${name}`}`
  }
  const set = (type, depth) => ` { ${Array.from({ length: 1 + roll(4) }, () => item(type, depth)).join(' ')} }`
  const root = () => {
    const [list, node] = [SCHEMA.getType('ServiceConnection'), SCHEMA.getType('Node')]
    return roll(3) ? `services${one(ARGUMENTS.services.slice(0, roll(6) ? 1 : 3))}${set(list, 4)}` : `node(id: "${service}")${set(node, 3)}`
  }
  const roots = Array.from({ length: 1 + roll(3) }, root)
  return `query($yes: Boolean!, $no: Boolean!) { ${roots.join(' ')} ... @skip(if: $no) { z: __typename @include(if: $yes) } } ${fragments.join(' ')}`
}

/** The same with each field once, as graphql-js collects them. */
function once(document) {
  const fragments = Object.fromEntries(document.definitions.filter(one => one.kind === 'FragmentDefinition').map(one => [one.name.value, one]))
  const [operation] = document.definitions
  const text = (fields, type) => {
    const words = [...fields.values()].map(nodes => {
      const [node] = nodes
      const plain = print({ ...node, selectionSet: undefined, directives: [] })
      if (!node.selectionSet) return plain
      const declared = getNamedType(type.getFields()[node.name.value].type)
      const given = isAbstractType(declared) ? SCHEMA.getType('Service') : declared
      const inner = text(collectSubfields(SCHEMA, fragments, VARIABLES, given, nodes), given)
      return `${plain} ${isAbstractType(declared) ? `{ ... on ${given.name} ${inner} }` : inner}`
    })
    return `{ ${words.join(' ') || '__typename @skip(if: true)'} }`
  }
  const query = SCHEMA.getQueryType()
  return text(collectFields(SCHEMA, fragments, VARIABLES, query, operation.selectionSet), query)
}

async function answer(program, token, query, variables) {
  const headers = { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` }
  const { data, errors = [] } = await (await fetch(`${program.base}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })).json()
  const faults = errors.map(({ message, path }) => `${message} ${JSON.stringify(path)}`)
  return { data, text: JSON.stringify(data), faults: [...new Set(faults)].sort().join('\n') }
}

export async function merging({ program, admin, services }) {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  const roll = dice(seed)
  const faults = []
  const seen = { same: 0, refused: 0, lenient: 0, heavy: 0 }
  for (let n = Number(process.env.DOCUMENTS ?? 1000); n > 0 && faults.length < 5; n--) {
    const text = made(roll, services.front)
    const document = parse(text)
    const wrong = validate(SCHEMA, document).map(error => error.message)
    const got = await answer(program, admin, text, VARIABLES)
    const tell = why => faults.push(`${why}, SEED=${seed}\n${text}\n${got.faults}\n${got.text}`)
    if (/is over the limit of|too complex/.test(got.faults)) seen.heavy++
    else if (wrong.length) {
      // What can't be merged only where it is skipped, or in types that are never the same object, is answered all the same.
      if (got.text === undefined) seen.refused++
      else if (wrong.every(message => /conflict because/.test(message))) seen.lenient++
      else tell(`what graphql-js refuses is answered: ${wrong[0]}`)
    } else if (got.text === undefined) tell('what graphql-js accepts is refused')
    else {
      const expected = await answer(program, admin, once(document))
      // Where a fragment is on a type that the object is not, its fields have their places all the same.
      const isSame = / on (Pipeline|Runtime)\b/.test(text) ? isDeepStrictEqual(got.data, expected.data) : got.text === expected.text
      if (!isSame || got.faults !== expected.faults) tell(`not the same as ${once(document)}\n${expected.faults}\n${expected.text}`)
      else seen.same++
    }
  }
  if (!faults.length && (seen.same < 100 || seen.refused < 10)) faults.push(`too few were asked: ${JSON.stringify(seen)}`)
  const said = `${seen.same} documents answered as with each field once, ${seen.refused} refused, ${seen.lenient} of types or under conditions that never meet, ${seen.heavy} too heavy (SEED=${seed})`
  return { faults, said }
}
