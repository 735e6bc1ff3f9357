// Schemathesis asks whatever the schema lets it ask, once with an admin's token and once with a member's.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildClientSchema, getIntrospectionQuery, printSchema } from 'graphql'

const HERE = import.meta.dirname
const EXAMPLES = Number(process.env.EXAMPLES ?? 2000)
/** Ends the session that everything is asked with. tests/it/identity.rs has it. */
const LEFT = 'Mutation.logout'
const IDS = `{
  viewer { organization { __typename id } } runtimes { nodes { __typename id } } apiTokens { __typename id }
  services(first: 20) { nodes { __typename id environments { __typename id } pipelines(first: 5) { nodes { __typename id } } } }
  deployments(first: 20) { nodes { __typename id } }
}`

/** Every id in an answer, by its kind. */
function ids(value, into = {}) {
  if (Array.isArray(value)) value.forEach(inner => ids(inner, into))
  else if (value && typeof value === 'object') {
    if (value.id) (into[value.__typename] ??= []).push(value.id)
    Object.values(value).forEach(inner => ids(inner, into))
  }
  return into
}

function run(args, env) {
  return new Promise((done, fail) => {
    const child = spawn(process.env.SCHEMATHESIS, args, { cwd: process.env.FOLDER, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', part => { said += part })
    child.on('error', fail).on('close', code => done({ code, said }))
  })
}

export const fuzz = who => async world => {
  const { program } = world
  const token = world[who]
  const schema = buildClientSchema(await program.ask(token, getIntrospectionQuery()))
  const roots = [schema.getQueryType(), schema.getMutationType()].flatMap(type => Object.keys(type.getFields()))
  const each = Math.ceil(EXAMPLES / (roots.length - 1))
  const file = name => join(process.env.FOLDER, `fuzz-${who}-${name}`)
  writeFileSync(file('schema.graphql'), printSchema(schema))
  // Who asks is not among them: whoever removes or lowers themselves has nothing to ask with any more.
  const { viewer } = await program.ask(token, '{ viewer { user { id } } }')
  const known = ids(await program.ask(token, schema.getQueryType().getFields().users ? IDS.replace('{', '{ users { nodes { __typename id } }') : IDS))
  known.User = known.User?.filter(id => id !== viewer.user.id)
  if (!known.User?.length) delete known.User
  writeFileSync(file('ids.json'), JSON.stringify(known))
  const env = {
    PATH: process.env.PATH, HOME: process.env.FOLDER, NO_COLOR: '1', PYTHONPATH: HERE, SCHEMATHESIS_HOOKS: 'fuzz', PYTHONDONTWRITEBYTECODE: '1',
    FUZZ_OWN: viewer.user.id, FUZZ_IDS: file('ids.json'), FUZZ_SCHEMA: file('schema.graphql'), FUZZ_REPORT: file('report.json'),
  }
  const { code, said } = await run([
    'run', `${program.base}/graphql`, '--phases', 'fuzzing', '--checks', 'expected', '--max-examples', `${each}`, '--exclude-name', LEFT,
    '--header', `Authorization: Bearer ${token}`, '--suppress-health-check', 'all', '--continue-on-failure', '--warnings', 'off',
    ...(process.env.SEED ? ['--seed', process.env.SEED] : []),
  ], env)
  const counts = JSON.parse(readFileSync(file('report.json'), 'utf8'))
  const faults = code === 0 ? [] : [`schemathesis ended with ${code}:\n${said}`]
  if (counts.examples < EXAMPLES) faults.push(`only ${counts.examples} examples instead of ${EXAMPLES}`)
  if (!(counts['without errors'] > counts.examples / 20)) faults.push(`next to nothing was answered: ${JSON.stringify(counts)}`)
  if (program.child.exitCode !== null) faults.push('the server ended')
  const panics = program.log().split('\n').filter(line => /panicked/.test(line))
  if (panics.length) faults.push(`a resolver panicked: ${panics[0]}`)
  return { faults, said: Object.entries(counts).map(([what, count]) => `${what} ${count}`).join(', ') }
}
