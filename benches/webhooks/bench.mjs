// Starts both servers, sends to them by turns, and says what came of it.
import { createHmac, randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { github, TOKEN } from './github.mjs'
import { answers, free, kiops as startKiops, median, quantile, start, stop } from './kiops.mjs'

const { PROGRAM, FOLDER, ROUNDS = '5', SECONDS_EACH = '5', SENDERS = '16' } = process.env

async function kiops(git) {
  const { child, port, ask } = await startKiops(PROGRAM, FOLDER, { core: 0, env: { KIOPS_NET__ALLOW: '127.0.0.0/8' } })
  await ask('mutation($i: SaveGithubSettingsInput!) { saveGithubSettings(input: $i) { gitSettings { id } } }', { i: { baseUrl: git, token: TOKEN } })
  const i = { provider: 'GITHUB', project: 'acme/shop', branch: 'main', name: 'shop' }
  const made = await ask('mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }', { i })
  // Pushes to another branch start nothing: what is measured is the intake, with its handling beside it.
  const on = { serviceId: made.registerGitProject.service.id, enabled: true, branches: ['never'] }
  const saved = (await ask('mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) { webhookSecret service { autoCi { webhookUrl } } } }', { i: on })).saveAutoCi
  return { name: 'kiops', child, port, path: new URL(saved.service.autoCi.webhookUrl).pathname, secret: saved.webhookSecret }
}

async function fastify() {
  const [port, secret] = [await free(), 'f'.repeat(64)]
  const env = { SECRET: secret, FILE: `${FOLDER}/fastify.db`, PORT: String(port) }
  const child = start([process.execPath, `${FOLDER}/fastify.mjs`], { folder: FOLDER, name: 'fastify', core: 0, env })
  await answers(`http://127.0.0.1:${port}/readyz`)
  return { name: 'fastify', child, port, path: '/webhook', secret }
}

// As GitHub sends it, 3 KB of it.
const push = { ref: 'refs/heads/main', before: '0'.repeat(40), after: 'ab'.repeat(20), repository: { id: 7, name: 'shop', full_name: 'acme/shop' }, commits: [], head_commit: { id: 'ab'.repeat(20), message: '' } }
push.head_commit.message = 'm'.repeat(3072 - JSON.stringify(push).length)
const body = Buffer.from(JSON.stringify(push))

// Over plain sockets: a client of HTTP would take longer than what is measured.
async function round({ port, path, secret }, seconds) {
  const signature = 'sha256=' + createHmac('sha256', secret).update(body).digest('hex')
  const before = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nx-github-event: push\r\nx-hub-signature-256: ${signature}\r\nx-github-delivery: `
  const took = []
  const end = performance.now() + seconds * 1000
  const sender = () => new Promise((done, fail) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const message = Buffer.concat([Buffer.from(before + randomUUID() + '\r\n\r\n'), body])
    let began
    let answer = ''
    const send = () => {
      began = performance.now()
      if (began >= end) return socket.destroy(), done()
      // The bytes are given away: what is sent next must not be written over them.
      const next = Buffer.from(message)
      next.write(randomUUID(), before.length, 'latin1')
      socket.write(next)
    }
    socket.on('connect', send).on('error', fail).on('data', part => {
      answer += part.toString('latin1')
      const head = answer.indexOf('\r\n\r\n')
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(answer)?.[1] ?? 0)
      if (head < 0 || answer.length < head + 4 + length) return
      if (!answer.startsWith('HTTP/1.1 202 ')) return socket.destroy(), fail(new Error(`not taken: ${answer}`))
      took.push(performance.now() - began)
      answer = ''
      send()
    }).on('close', () => began < end && fail(new Error('the connection was closed')))
  })
  await Promise.all(Array.from({ length: Number(SENDERS) }, sender))
  return { rate: took.length / seconds, p99: quantile(took, 0.99) }
}

const git = await github()
const servers = []
try {
  servers.push(await kiops(git.base), await fastify())
  for (const server of servers) await round(server, 1)
  const found = servers.map(() => [])
  for (let n = 0; n < Number(ROUNDS); n++) {
    for (const [at, server] of servers.entries()) {
      const one = await round(server, Number(SECONDS_EACH))
      found[at].push(one)
      console.log(`${server.name} ${n + 1}: ${one.rate.toFixed(0)}/s, p99 ${one.p99.toFixed(1)} ms`)
    }
  }
  const rates = found.map(all => median(all.map(one => one.rate)))
  const slowest = found.map(all => median(all.map(one => one.p99)))
  for (const [at, server] of servers.entries()) console.log(`${server.name}: median ${rates[at].toFixed(0)}/s, p99 ${slowest[at].toFixed(1)} ms`)
  console.log(`ratio ${(rates[0] / rates[1]).toFixed(2)} (wanted: 1.5), p99 wanted: 20 ms`)
} finally {
  for (const { child } of servers) await stop(child)
  git.server.close()
}
