// A minute of a test that prints a thousand lines a second, followed by 500, by turns with everybody reading and with one
// beside them who never reads: what is lost, how late lines come, and what it takes in memory.
import { readFileSync } from 'node:fs'
import { follow } from './follow.mjs'
import { github, Repository } from './github.mjs'
import { median, stop } from './kiops.mjs'
import { base, kiops } from './servers.mjs'

const { FOLLOWERS = '500', SECONDS = '60', RATE = '1000', MINUTES = '3' } = process.env
const tick = Math.max(1, Math.round(Number(RATE) / 10))
const print = `sleep 5; n=0; t=0; while [ $t -lt ${Number(SECONDS) * 10} ]; do i=0; while [ $i -lt ${tick} ]; do n=$((n+1)); ` +
  'echo "line $n of what a test prints: this and that went well"; i=$((i+1)); done; t=$((t+1)); usleep 90000; done'
const repository = new Repository(process.env.FOLDER, { Dockerfile: 'FROM bench/base:1\nCMD ["/bin/sh"]\n', 'readme.txt': 'hello\n' })
await base()
const git = await github(repository)
const server = await kiops(git.base)
const input = { serviceId: server.service, testCommand: ['/bin/sh', '-c', print] }
await server.ask('mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }', { i: input })

const memory = () => Number(/^Rss: +(\d+) kB/m.exec(readFileSync(`/proc/${server.child.pid}/smaps_rollup`, 'utf8'))[1]) / 1024
async function minute(stalled) {
  const started = await server.ask('mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }', { i: { serviceId: server.service } })
  const { id } = started.startPipeline.pipeline
  const seen = [memory()]
  const watch = setInterval(() => seen.push(memory()), 1000)
  const heard = await follow({ port: server.port, path: '/graphql', token: server.token, id }, stalled, () => {})
  clearInterval(watch)
  const [first, last] = [seen.slice(10, 25), seen.slice(-16, -1)].map(part => part.reduce((sum, one) => sum + one, 0) / part.length)
  const lines = heard.lines / Number(FOLLOWERS)
  if (lines !== tick * Number(SECONDS) * 10) throw new Error(`${lines} lines came of ${tick * Number(SECONDS) * 10}`)
  console.log(`${lines} lines in ${(heard.milliseconds / 1000).toFixed(1)} s to ${FOLLOWERS}${stalled ? ` and one who never reads` : ''}: ` +
    `${heard.lines} messages, none lost or twice; late p50 ${heard.p50} ms, p99 ${heard.p99} ms; ` +
    `memory ${seen[0].toFixed(0)} MiB before, ${first.toFixed(0)} MiB at the beginning, ${last.toFixed(0)} MiB at the end, at most ${Math.max(...seen).toFixed(0)} MiB`)
  return heard
}
// The first of all goes faster, in an empty database.
await minute(0)
const found = [[], []]
for (let round = 0; round < Number(MINUTES); round++) {
  for (const stalled of [0, 1]) found[stalled].push((await minute(stalled)).p99)
}
console.log(`p99 with a stalled reader beside them: ${(median(found[1]) / median(found[0])).toFixed(2)} of without (wanted: at most 1.10)`)
const dropped = readFileSync(`${process.env.FOLDER}/kiops.log`, 'utf8').split('\n').filter(line => /not read for/.test(line))
if (dropped.length !== Number(MINUTES)) throw new Error(`${dropped.length} readers were dropped of ${MINUTES} who never read`)
console.log(dropped[0])
await stop(server.child)
process.exit(0)
