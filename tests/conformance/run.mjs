// Runs the steps one after the other against one server, and says of each whether it passed. STEPS names some of them.
import { closing, resume } from './sockets.mjs'
import { documents } from './documents.mjs'
import { fuzz } from './fuzz.mjs'
import { http } from './http.mjs'
import { merging } from './merging.mjs'
import { build } from './world.mjs'

const ALL = { http, resume, closing, documents, merging, 'fuzz-member': fuzz('member'), 'fuzz-admin': fuzz('admin') }

const wanted = process.env.STEPS?.split(',') ?? Object.keys(ALL)
const unknown = wanted.filter(step => !ALL[step])
if (unknown.length) {
  console.error(`there is no step ${unknown}: ${Object.keys(ALL)}`)
  process.exit(2)
}
const world = await build()
let failed = 0
for (const step of wanted) {
  const began = Date.now()
  const { faults, said } = await ALL[step](world).catch(error => ({ faults: [error.stack] }))
  const seconds = ((Date.now() - began) / 1000).toFixed(0)
  console.log(faults.length ? `FAILED ${step}, ${seconds} s` : `ok     ${step}, ${seconds} s: ${said}`)
  for (const fault of faults) console.log(`  ${fault.replaceAll('\n', '\n  ')}`)
  failed += faults.length > 0
}
const ended = await world.program.stop()
if (ended !== 0) console.log(`FAILED the server ended with ${ended}`)
process.exit(failed || ended ? 1 : 0)
