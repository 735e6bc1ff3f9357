// What hostile callers get, what it costs beside a small query, and what others notice meanwhile.
import { fork } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { kiops, quantile, sleep } from './kiops.mjs'

const { PROGRAM, FOLDER, SECONDS_EACH = '5', SOCKETS = '10000' } = process.env
mkdirSync(`${FOLDER}/db`)
const server = await kiops(PROGRAM, `${FOLDER}/db`, { core: 0, env: { KIOPS_SERVER__KEPT_ANSWERS: '0' } })
const good = fork(`${FOLDER}/good.mjs`, { env: { ...process.env, URL: server.url, TOKEN: server.token }, execPath: process.execPath })
const times = () => new Promise(done => { good.once('message', done); good.send('so far') })

// Whoever talks is not who is measured, so that plain sockets do.
const head = (length, type = 'application/json') =>
  `POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: ${type}\r\naccept: application/graphql-response+json\r\nauthorization: Bearer ${server.token}\r\ncontent-length: ${length}\r\n`
function say(text, { keep = false } = {}) {
  return new Promise(done => {
    const socket = connect({ host: '127.0.0.1', port: server.port })
    let said = ''
    socket.on('data', part => {
      said += part
      if (!keep && /\r\n\r\n[^]/.test(said)) socket.destroy()
    })
    socket.on('error', () => {}).on('close', () => done({ status: Number(said.slice(9, 12)), said }))
    socket.write(text)
  })
}
const document = asked => {
  const body = JSON.stringify(typeof asked === 'string' ? { query: asked } : asked)
  return `${head(Buffer.byteLength(body))}connection: close\r\n\r\n${body}`
}
const fragments = levels => 'query { ...F0 } ' + Array.from({ length: levels }, (_, n) => `fragment F${n} on Query { ...F${n + 1} ...F${n + 1} }`).join(' ') + ` fragment F${levels} on Query { __typename }`
const documents = {
  'nested 10,000 deep': '{a'.repeat(10_000) + '}'.repeat(10_000),
  '5,000 aliases': `{ ${Array.from({ length: 5_000 }, (_, n) => `a${n}: __typename`).join(' ')} }`,
  'fragments in a circle': '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }',
  'fragments that double 28 times': fragments(28),
  '1 MiB of directives': `{ __typename ${'@a'.repeat(512 * 1024)} }`,
  'lists in lists': '{ services(first: 100) { nodes { deployments(first: 100) { nodes { service { deployments(first: 100) { nodes { id } } } } } } } }',
  'the widest that is let in': `{ ${Array.from({ length: 90 }, (_, n) => `a${n}: server { version }`).slice(0, 49).join(' ')} }`,
}
// What is asked for in several places is put together before it is validated.
const names = (count, name) => Array.from({ length: count }, () => name).join(' ')
const numbers = length => ({ v: Array.from({ length }, () => 0) })
Object.assign(documents, {
  'a list of 900,000 numbers': { query: '{ __typename }', variables: numbers(900_000) },
  'one of 45,000 in 1,500 places': { query: `query($v: [ID!]) { service(id: [${names(1_500, '$v')}]) { id } }`, variables: numbers(45_000) },
  'the same in a condition of 1,600 fields': { query: `query($v: Boolean!) { services { nodes { ...A @skip(if: $v) } } } fragment A on Service { ${names(40, '...B')} } fragment B on Service { ${names(40, 'id')} }`, variables: numbers(45_000) },
  'a field in 900 places': `{ services { nodes { ${names(30, '...A')} } } } fragment A on Service { ${names(30, 'runtime { id }')} }`,
  '40 conditions around 800 fields': `query($v: Boolean = true) { services { nodes { ${names(40, '...A @include(if: $v)')} } } } fragment A on Service { ${names(20, 'runtime { id }')} }`,
  'a field with 900 arguments in 1,600 places': `{ services { ${names(40, '...A')} } } fragment A on ServiceConnection { ${names(40, '...B')} } fragment B on ServiceConnection { nodes(${Array.from({ length: 900 }, (_, n) => `a${n}: 1`)}) { id } }`,
})
const code = said => /"code":"(\w+)"/.exec(said)?.[1]

const cpu = () => {
  const [, user, system] = /^\d+ \(.*\) \S(?: -?\d+){10} (\d+) (\d+)/.exec(readFileSync(`/proc/${server.child.pid}/stat`, 'utf8'))
  return (Number(user) + Number(system)) * 10
}
async function cost(query, times) {
  const text = document(query)
  const before = cpu()
  for (let n = 0; n < times; n++) await say(text)
  return (cpu() - before) / times
}

const p99 = async (work, seconds = Number(SECONDS_EACH)) => {
  await times()
  const end = performance.now() + seconds * 1000
  const said = await work(end)
  return { said, p99: quantile(await times(), 0.99) }
}
const quiet = await p99(async end => sleep(end - performance.now()))
console.log(`a small query, quiet: p99 ${quiet.p99.toFixed(1)} ms`)
const show = (what, seen, { said, p99 }) => console.log(`${what}: ${seen}; a small query's p99 meanwhile ${p99.toFixed(1)} ms, ${(p99 / quiet.p99).toFixed(1)} of quiet`)

for (const [what, query] of Object.entries(documents)) {
  let last
  const meanwhile = await p99(async end => { while (performance.now() < end) last = await say(document(query)) })
  show(what, `${last.status} ${code(last.said) ?? ''}`, meanwhile)
}
{
  const chunk = Buffer.alloc(1024 * 1024, 32)
  let last
  const meanwhile = await p99(async end => {
    while (performance.now() < end) {
      last = await new Promise(done => {
        const socket = connect({ host: '127.0.0.1', port: server.port })
        let [said, left] = ['', 100]
        const more = () => { while (left-- > 0 && socket.write(chunk)); }
        socket.on('drain', more).on('data', part => { said += part }).on('error', () => {}).on('close', () => done({ status: Number(said.slice(9, 12)), said }))
        socket.write(`${head(100 * chunk.length)}\r\n`)
        more()
        setTimeout(() => socket.destroy(), 2000).unref()
      })
    }
  })
  show('a body of 100 MiB', `${last.status} ${code(last.said) ?? ''}`, meanwhile)
}
{
  const meanwhile = await p99(() => Promise.all(Array.from({ length: 200 }, () => new Promise(done => {
    const socket = connect({ host: '127.0.0.1', port: server.port })
    let said = ''
    const drip = setInterval(() => socket.write(' '), 500)
    socket.on('data', part => { said += part }).on('error', () => {}).on('close', () => { clearInterval(drip); done(said) })
    socket.write(`${head(1000)}\r\n{`)
  }))))
  const seen = new Set(meanwhile.said.map(said => `${said.slice(9, 12)} ${code(said) ?? ''}`))
  show('200 bodies that drip', [...seen].join(', '), meanwhile)
}
{
  const counts = {}
  const meanwhile = await p99(async () => {
    const open = []
    for (let n = 0; n < Number(SOCKETS); n += 200) {
      await Promise.all(Array.from({ length: 200 }, () => new Promise(done => {
        const socket = connect({ host: '127.0.0.1', port: server.port })
        let said = Buffer.alloc(0)
        socket.on('data', part => { said = Buffer.concat([said, part]); done() })
        socket.on('error', done)
        open.push(new Promise(gone => socket.on('close', () => {
          const frame = said.indexOf('\r\n\r\n') + 4
          const closed = said[frame] === 0x88 ? said.readUInt16BE(frame + 2) : ''
          const seen = `${said.subarray(9, 12)} ${closed}`.trim()
          counts[seen] = (counts[seen] ?? 0) + 1
          gone()
          done()
        })))
        socket.write('GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n')
      })))
    }
    await Promise.race([Promise.all(open), sleep(30_000)])
  })
  show(`${SOCKETS} WebSockets that never say a word`, JSON.stringify(counts), meanwhile)
}
{
  // A frame from a browser is masked; zeros are a mask too.
  const frame = text => Buffer.concat([Buffer.from([0x81, 0x80 | 126, text.length >> 8, text.length & 255, 0, 0, 0, 0]), Buffer.from(text)])
  const meanwhile = await p99(() => new Promise(done => {
    const socket = connect({ host: '127.0.0.1', port: server.port })
    const began = performance.now()
    socket.write(`GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\nauthorization: Bearer ${server.token}\r\n\r\n`)
    socket.once('data', () => {
      socket.pause()
      socket.write(frame('{"type":"connection_init"}'))
      // Each answer is the whole schema, which nobody reads.
      const ask = JSON.stringify({ id: 'ID', type: 'subscribe', payload: { query: '{ __schema { types { name description fields { name description args { name description } } } } }' } })
      let n = 0
      const more = setInterval(() => socket.write(frame(ask.replace('ID', String(n++)))), 20)
      socket.on('error', () => {}).on('close', () => { clearInterval(more); done(performance.now() - began) })
      // A paused socket hears of its end when it writes.
    })
    setTimeout(() => { socket.resume(); setTimeout(() => socket.destroy(), 1000) }, 20_000)
  }))
  show('a subscriber that never reads', `gone after ${(meanwhile.said / 1000).toFixed(1)} s`, meanwhile)
}
const hello = await cost('{ __typename }', 300)
const costs = []
for (const [what, query] of Object.entries(documents)) costs.push([what, await cost(query, 50)])
const [what, worst] = costs.sort((a, b) => b[1] - a[1])[0]
console.log(`hello costs ${hello.toFixed(2)} ms of CPU; the dearest is "${what}" with ${worst.toFixed(2)} ms: ${(worst / hello).toFixed(0)} times (wanted: at most 200)`)
process.exit(0)
