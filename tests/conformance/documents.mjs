// schema.graphql and every document that we show: in the README and in GraphiQL's examples.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildClientSchema, buildSchema, getIntrospectionQuery, lexicographicSortSchema, parse, print, printSchema } from 'graphql'

const ROOT = join(import.meta.dirname, '../..')
const BIN = join(import.meta.dirname, 'node_modules/.bin')
const SCHEMA = join(ROOT, 'schema.graphql')
/** There are more than these; fewer means that they are not found any more. */
const AT_LEAST = { readme: 30, example: 40 }

/** Documents of the README: its blocks of GraphQL, and what its shell gives to `gql`. */
function readme() {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const blocks = kind => [...text.matchAll(new RegExp('^```' + kind + '\\n(.*?)^```', 'gms'))].map(match => match[1])
  const inShell = blocks('sh').flatMap(block => [...block.matchAll(/\bgql '([^']*)'/g)].map(match => match[1]))
  return [...blocks('graphql'), ...inShell]
}

/** The examples, with the folder that they are in. */
function examples() {
  const folder = join(ROOT, 'web/graphiql/examples')
  return readdirSync(folder, { recursive: true }).filter(name => name.endsWith('.graphql')).map(name => readFileSync(join(folder, name), 'utf8'))
}

/** One file for each operation, under a name of its own: tools want names, and people leave them out. */
function write(folder, kind, texts) {
  const written = []
  for (const [at, text] of texts.entries()) {
    const document = parse(text)
    const fragments = document.definitions.filter(({ kind }) => kind === 'FragmentDefinition')
    if (fragments.length) throw new Error(`${kind} ${at} has a fragment, which this does not know yet`)
    for (const [n, operation] of document.definitions.entries()) {
      const name = { kind: 'Name', value: `${kind}_${at}_${n}_${operation.name?.value ?? 'unnamed'}` }
      const file = join(folder, `${name.value}.graphql`)
      writeFileSync(file, print({ ...operation, name }))
      written.push(name.value)
    }
  }
  if (written.length < AT_LEAST[kind]) throw new Error(`there are only ${written.length} documents of kind ${kind}`)
  return written
}

/** Runs a program of npm; what it says, when it does not end well. */
function run(name, args, folder) {
  try {
    execFileSync(join(BIN, name), args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: folder, NO_COLOR: '1' } })
    return []
  } catch (failed) {
    return [`${name} ${args[0]}: ${failed.stdout}${failed.stderr}`]
  }
}

export async function documents({ program, admin }) {
  const folder = join(process.env.FOLDER, 'documents')
  mkdirSync(folder)
  const names = [...write(folder, 'readme', readme()), ...write(folder, 'example', examples())]
  const made = join(process.env.FOLDER, 'made')
  const config = join(process.env.FOLDER, 'codegen.json')
  writeFileSync(config, JSON.stringify({ schema: SCHEMA, documents: `${folder}/*.graphql`, generates: { [`${made}/`]: { preset: 'client' } } }))
  const faults = run('graphql-codegen', ['--config', config], import.meta.dirname)
  if (!faults.length) {
    const types = readFileSync(join(made, 'graphql.ts'), 'utf8').replaceAll('_', '')
    const without = names.filter(name => !types.toLowerCase().includes(`export type ${name.replaceAll('_', '').toLowerCase()}`))
    if (without.length) faults.push(`graphql-codegen made no types for ${without}`)
  }
  faults.push(...run('graphql-inspector', ['validate', `${folder}/*.graphql`, SCHEMA], import.meta.dirname))
  // What the server says of itself is what the file says.
  const told = buildClientSchema(await program.ask(admin, getIntrospectionQuery()))
  const [live, file] = [told, buildSchema(readFileSync(SCHEMA, 'utf8'))].map(schema => printSchema(lexicographicSortSchema(schema)))
  if (live !== file) faults.push('introspection by an admin is not what schema.graphql says')
  return { faults, said: `${names.length} operations` }
}
