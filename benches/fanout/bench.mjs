// One log that 500 follow: how many messages a second get out, beside graphql-ws.
import Database from 'better-sqlite3'
import { mkdirSync } from 'node:fs'
import { follow } from './follow.mjs'
import { answers, free, kiops, median, spread, start, stop } from './kiops.mjs'
import { row, seed } from './seed.mjs'

const { PROGRAM, FOLDER, ROUNDS = '3', LINES = '2000', FOLLOWERS = '500' } = process.env
mkdirSync(`${FOLDER}/db`)
await seed(PROGRAM, `${FOLDER}/db`, 1)
const server = await kiops(PROGRAM, `${FOLDER}/db`, { core: 0 })
const file = new Database(`${FOLDER}/db/kiops.db`)
file.pragma('busy_timeout = 10000')
const text = number => `line ${number} of what a build prints: compiling something or other`

// A log of this program that grows by what somebody else writes into the database, in one piece: looked for every two seconds.
let pipelines = 10
const add = file.prepare('INSERT INTO log_line (run_id, seq, at, stage, stream, text) VALUES (?, ?, ?, ?, ?, ?)')
function pipeline() {
  const { service_id, organization_id, created_at } = file.prepare('SELECT * FROM pipeline LIMIT 1').get()
  const made = row.pipeline({ service: service_id, organization: organization_id, number: ++pipelines, status: 'RUNNING', now: created_at })
  const columns = Object.keys(made)
  file.prepare(`INSERT INTO pipeline (${columns.map(c => `"${c}"`)}) VALUES (${columns.map(() => '?')})`).run(Object.values(made))
  return made.id
}
const end = run => file.prepare(`UPDATE pipeline SET status = 'SUCCEEDED', finished_at = ? WHERE id = ?`).run(new Date().toISOString().replace('Z', '+00:00'), run)
const burst = {
  name: 'KIOPS',
  async round() {
    const run = pipeline()
    const id = Buffer.from(`Pipeline:${run}`).toString('base64url')
    return follow({ port: server.port, path: '/graphql', token: server.token, id }, 0, () => {
      file.transaction(() => {
        for (let n = 1; n <= Number(LINES); n++) add.run(run, n, new Date().toISOString().replace('Z', '+00:00'), 'BUILD', 'STDOUT', text(n))
        end(run)
      })()
    })
  },
}
const other = {
  name: 'graphql-ws',
  async round() {
    const port = await free()
    const child = start([process.execPath, `${FOLDER}/graphql-ws.mjs`], { folder: FOLDER, name: 'graphql-ws', core: 0, env: { PORT: String(port) } })
    await answers(`http://127.0.0.1:${port}/`)
    const heard = await follow({ port, path: '/graphql', id: 'x' }, 0, async () => {
      await fetch(`http://127.0.0.1:${port}/burst?n=${LINES}`, { method: 'POST' })
      await fetch(`http://127.0.0.1:${port}/end`, { method: 'POST' })
    })
    await stop(child)
    return heard
  },
}
const rate = heard => heard.lines / (heard.milliseconds / 1000)

const found = [[], []]
for (let round = 0; round < Number(ROUNDS); round++) {
  for (const [n, one] of [burst, other].entries()) {
    const heard = await one.round()
    if (heard.lines !== Number(LINES) * Number(FOLLOWERS)) throw new Error(`lines are missing: ${JSON.stringify(heard)}`)
    found[n].push(rate(heard))
  }
}
console.log(`${LINES} lines to ${FOLLOWERS}, in one piece: KIOPS ${spread(found[0])} messages a second, graphql-ws ${spread(found[1])}`)
console.log(`ratio ${(median(found[0]) / median(found[1])).toFixed(1)} (wanted: 8)`)
process.exit(0)
