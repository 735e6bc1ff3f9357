// What the program is compared with: the same proof, the same durability, one row for each delivery.
import { createHmac, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import Database from 'better-sqlite3'

const { SECRET, FILE, PORT } = process.env
const db = new Database(FILE)
db.pragma('journal_mode = WAL')
// As the program's own: on disk before the answer.
db.pragma('synchronous = FULL')
db.exec('CREATE TABLE delivery (id TEXT PRIMARY KEY, event TEXT, received_at TEXT, payload BLOB)')
const insert = db.prepare('INSERT INTO delivery VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING')

const app = Fastify()
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
app.get('/readyz', () => 'ok')
app.post('/webhook', (request, reply) => {
  const made = Buffer.from('sha256=' + createHmac('sha256', SECRET).update(request.body).digest('hex'))
  const sent = Buffer.from(request.headers['x-hub-signature-256'] ?? '')
  if (made.length !== sent.length || !timingSafeEqual(made, sent)) return reply.code(401).send()
  insert.run(request.headers['x-github-delivery'], request.headers['x-github-event'], new Date().toISOString(), request.body)
  return reply.code(202).send()
})
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
