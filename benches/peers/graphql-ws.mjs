// One log to many, as others would do it: graphql-ws over ws. POST /burst?n=N adds lines, POST /end ends the log.
import { createServer } from 'node:http'
import { EventEmitter, once } from 'node:events'
import { WebSocketServer } from 'ws'
import { useServer } from 'graphql-ws/use/ws'
import { buildSchema } from 'graphql'

const lines = []
let ended = false
const told = new EventEmitter().setMaxListeners(0)
const schema = buildSchema(`
  type Query { ready: Boolean }
  type Subscription { pipelineLog(id: ID!): LogLine! }
  type LogLine { at: String! text: String! cursor: String! }`)
async function* follow() {
  for (let n = 0; ; n++) {
    while (n >= lines.length) {
      if (ended) return
      await once(told, 'line')
    }
    yield { pipelineLog: lines[n] }
  }
}
const server = createServer((call, reply) => {
  const url = new URL(call.url, 'http://127.0.0.1')
  if (url.pathname === '/burst') {
    const count = Number(url.searchParams.get('n'))
    for (let n = 0; n < count; n++) {
      const number = lines.length + 1
      lines.push({ at: new Date().toISOString(), text: `line ${number} of what a build prints: compiling something or other`, cursor: Buffer.from(String(number)).toString('base64url') })
    }
    told.emit('line')
  }
  if (url.pathname === '/end') {
    ended = true
    told.emit('line')
  }
  reply.end('{}')
})
useServer({ schema, roots: { subscription: { pipelineLog: follow } } }, new WebSocketServer({ server, path: '/graphql' }))
server.listen(Number(process.env.PORT), '127.0.0.1')
