// The first 100 of 1,000 services with four relations, as this program serves them, beside what others do with the same file.
import { createHash } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { answers, free, kiops, median, spread, start } from './kiops.mjs'
import { seed } from './seed.mjs'

const { PROGRAM, BARE, FOLDER, ROUNDS = '5', SECONDS_EACH = '3', SERVICES = '1000', CORES = '1' } = process.env
mkdirSync(`${FOLDER}/db`)
const { organizationId } = await seed(PROGRAM, `${FOLDER}/db`, Number(SERVICES))
const pin = CORES === '1' ? 0 : undefined

const QUERY = 'query Dashboard { services(first: 100) { nodes { id name latestPipeline { id status } latestDeployment { id status } runtime { id name } } } }'
const ours = await kiops(PROGRAM, `${FOLDER}/db`, { core: pin })
const at = { FILE: `${FOLDER}/db/kiops.db`, ORGANIZATION: organizationId }
async function peer(name, command, path) {
  const port = await free()
  if (name === 'bare axum') command = [...command, at.FILE, at.ORGANIZATION, String(port)]
  start(command, { folder: FOLDER, name, core: pin, env: { ...at, PORT: String(port) } })
  const url = `http://127.0.0.1:${port}${path}`
  await answers(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: QUERY }) })
  return { name, url }
}
const servers = [
  { name: 'KIOPS', url: ours.url, token: ours.token },
  { name: 'KIOPS, never asked before', url: ours.url, token: ours.token, changing: true },
  await peer('mercurius', [process.execPath, `${FOLDER}/mercurius.mjs`], '/graphql'),
  ...(BARE ? [await peer('bare axum', [BARE], '/list')] : []),
]

// What they answer is the same, or nothing is compared.
const hash = async server => {
  const headers = { 'content-type': 'application/json', accept: 'application/json', ...(server.token && { authorization: `Bearer ${server.token}` }) }
  const answer = await (await fetch(server.url, { method: 'POST', headers, body: JSON.stringify({ query: QUERY }) })).text()
  const data = JSON.stringify(JSON.parse(answer).data)
  return { bytes: answer.length, hash: createHash('sha256').update(data).digest('hex') }
}
const seen = await Promise.all(servers.map(hash))
if (new Set(seen.map(one => one.hash)).size !== 1) throw new Error(`they don't answer the same: ${JSON.stringify(seen)}`)
console.log(`all answer the same ${seen[0].bytes} bytes, sha256 ${seen[0].hash.slice(0, 16)}`)

// `changing` asks with a name of its own each time, so that nothing of the answer can be known from before.
for (const [n, server] of servers.entries()) {
  const body = server.changing
    ? `local n = math.random(1000000000)\nrequest = function() n = n + 1; return wrk.format(nil, nil, nil, ${lua(JSON.stringify({ query: QUERY })).replace('Dashboard', `Dashboard" .. n .. "`)}) end`
    : `wrk.body = ${lua(JSON.stringify({ query: QUERY }))}`
  writeFileSync(`${FOLDER}/${n}.lua`, `wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.headers["accept"] = "application/json"\n${server.token ? `wrk.headers["authorization"] = "Bearer ${server.token}"\n` : ''}${body}\n`)
}
function lua(text) { return JSON.stringify(text) }

const load = (n, seconds) => {
  const command = ['wrk', '-t1', '-c16', `-d${seconds}s`, '--latency', '-s', `${FOLDER}/${n}.lua`, servers[n].url]
  const [program, ...rest] = pin === undefined ? command : ['taskset', '-c', '1', ...command]
  const said = execFileSync(program, rest, { encoding: 'utf8' })
  if (/Non-2xx|Socket errors/.test(said)) throw new Error(said)
  const p99 = /99%\s+([\d.]+)(us|ms|s)/.exec(said)
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(said)[1]), p99: Number(p99[1]) * { us: 0.001, ms: 1, s: 1000 }[p99[2]] }
}
for (const n of servers.keys()) load(n, 1)
const found = servers.map(() => [])
for (let round = 0; round < Number(ROUNDS); round++) {
  for (const n of servers.keys()) found[n].push(load(n, SECONDS_EACH))
}
for (const [n, server] of servers.entries()) {
  console.log(`${server.name}: ${spread(found[n].map(one => one.rate))} a second, p99 ${spread(found[n].map(one => one.p99), 1)} ms`)
}
const rate = name => median(found[servers.findIndex(server => server.name === name)].map(one => one.rate))
for (const who of ['KIOPS', 'KIOPS, never asked before']) {
  console.log(`${who}: ${(rate(who) / rate('mercurius')).toFixed(2)} × mercurius (wanted: ${CORES === '1' ? 1.2 : 2.2})${BARE ? `, ${(rate(who) / rate('bare axum')).toFixed(2)} × bare axum (wanted: 0.5)` : ''}`)
}
process.exit(0)
