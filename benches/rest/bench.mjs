// Memory at rest, and how long after its start a server gives its first answer, on a database that is up to date.
import { mkdirSync, readFileSync } from 'node:fs'
import { answers, free, kiops, sleep, spread, start, stop } from './kiops.mjs'

const { PROGRAM, FOLDER, ROUNDS = '7' } = process.env
mkdirSync(`${FOLDER}/db`)
await stop((await kiops(PROGRAM, `${FOLDER}/db`)).child)

const memory = pid => {
  const status = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const of = name => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(status)[1]) / 1024
  return { rss: of('Rss'), anonymous: of('Anonymous') }
}
const servers = [
  { name: 'KIOPS', begin: async port => {
    const env = {
      KIOPS_DATABASE__URL: `sqlite://${FOLDER}/db/kiops.db`, KIOPS_SECRETS__KEY_FILE: `${FOLDER}/db/secret.key`, KIOPS_TELEMETRY__LOG: 'warn',
      KIOPS_SERVER__LISTEN: `127.0.0.1:${port}`, KIOPS_SERVER__PUBLIC_URL: `http://127.0.0.1:${port}`, KIOPS_BUILD__WORK_DIR: `${FOLDER}/db/work`,
    }
    return { child: start([PROGRAM, 'serve'], { folder: FOLDER, name: 'kiops', env }), path: '/graphql?query=%7B__typename%7D' }
  } },
  { name: 'mercurius', begin: async port => {
    const env = { FILE: `${FOLDER}/db/kiops.db`, ORGANIZATION: 'none', PORT: String(port) }
    return { child: start([process.execPath, `${FOLDER}/mercurius.mjs`], { folder: FOLDER, name: 'mercurius', env }), path: '/graphql?query=%7B__typename%7D' }
  } },
]
const found = servers.map(() => [])
for (let round = 0; round < Number(ROUNDS); round++) {
  for (const [n, server] of servers.entries()) {
    const port = await free()
    const { child, path } = await server.begin(port)
    const first = await answers(`http://127.0.0.1:${port}${path}`, { headers: { accept: 'application/json' } })
    await sleep(3000)
    found[n].push({ first, ...memory(child.pid) })
    await stop(child)
  }
}
for (const [n, { name }] of servers.entries()) {
  const of = (key, digits) => spread(found[n].map(one => one[key]), digits)
  console.log(`${name}: first answer after ${of('first')} ms; at rest ${of('rss', 1)} MiB, of which its own ${of('anonymous', 1)} MiB`)
}
console.log('wanted of KIOPS: 150 ms, 40 MiB')
process.exit(0)
