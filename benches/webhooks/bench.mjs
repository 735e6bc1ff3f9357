// Starts both servers, sends to them by turns, and says what came of it.
import { createHmac, randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { connect, createServer as listen } from 'node:net'
import { existsSync, openSync } from 'node:fs'

const { PROGRAM, FOLDER, ROUNDS = '5', SECONDS_EACH = '5', SENDERS = '16' } = process.env
const PASSWORD = 'correct horse battery'
const children = []
const free = () => new Promise(done => {
  const server = listen().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)) })
})
const pinned = existsSync('/usr/bin/taskset') ? ['taskset', '-c', '0'] : []

function start(command, env, name) {
  const log = openSync(`${FOLDER}/${name}.log`, 'a')
  const [program, ...rest] = [...pinned, ...command]
  const child = spawn(program, rest, { cwd: FOLDER, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', log, log] })
  children.push(child)
}

async function ready(port) {
  for (let n = 0; n < 300; n++) {
    const found = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null)
    if (found?.ok) return
    await new Promise(done => setTimeout(done, 100))
  }
  throw new Error(`nothing answers on ${port}`)
}

// A GitHub with one repository, which lets nobody install webhooks: the secret is given to be pasted.
async function github() {
  const port = await free()
  const base = `http://127.0.0.1:${port}`
  const repository = {
    id: 7, node_id: 'R_7', name: 'shop', full_name: 'acme/shop', private: true, visibility: 'private', description: null,
    archived: false, disabled: false, fork: false, default_branch: 'main', size: 108, html_url: `${base}/acme/shop`,
    clone_url: `${base}/acme/shop.git`, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z',
    pushed_at: '2026-01-01T00:00:00Z', permissions: { admin: true, maintain: true, push: true, triage: true, pull: true },
    owner: { login: 'acme', id: 5, type: 'User', html_url: `${base}/acme`, avatar_url: `${base}/a.png` },
  }
  const branch = { name: 'main', protected: false, commit: { sha: 'ab'.repeat(20), url: `${base}/c` } }
  const server = createServer((call, reply) => {
    const path = new URL(call.url, base).pathname.replace(/^\/api\/v3/, '')
    const headers = { 'content-type': 'application/json', 'x-oauth-scopes': 'repo, read:org, admin:repo_hook' }
    const say = (status, value) => reply.writeHead(status, headers).end(JSON.stringify(value))
    call.resume()
    if (path === '/user') return say(200, { login: 'acme', id: 5, type: 'User', name: 'Acme', html_url: `${base}/acme`, avatar_url: `${base}/a.png` })
    if (/hooks/.test(path)) return say(403, { message: 'Resource not accessible by personal access token' })
    if (/^\/(repos\/acme\/shop|repositories\/7)$/.test(path)) return say(200, repository)
    if (/\/branches\/main$/.test(path)) return say(200, branch)
    if (/\/branches$/.test(path)) return say(200, [branch])
    return say(404, { message: 'Not Found' })
  })
  await new Promise(done => server.listen(port, '127.0.0.1', done))
  return { base, server }
}

async function kiops(git) {
  const port = await free()
  const base = `http://127.0.0.1:${port}`
  start([PROGRAM, 'serve'], {
    KIOPS_DATABASE__URL: `sqlite://${FOLDER}/kiops.db?mode=rwc`, KIOPS_SERVER__LISTEN: `127.0.0.1:${port}`,
    KIOPS_SERVER__PUBLIC_URL: base, KIOPS_BOOTSTRAP__ADMIN_PASSWORD: PASSWORD, KIOPS_NET__ALLOW: '127.0.0.0/8',
    KIOPS_TELEMETRY__LOG: 'warn', KIOPS_DOCKER_HUB__REGISTRY_URL: 'http://127.0.0.1:1',
    KIOPS_DOCKER_HUB__API_URL: 'http://127.0.0.1:1', KIOPS_DOCKER_HUB__AUTH_URL: 'http://127.0.0.1:1',
  }, 'kiops')
  await ready(port)
  let token
  const ask = async (query, variables) => {
    const headers = { 'content-type': 'application/json', accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const answer = await (await fetch(`${base}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })).json()
    if (answer.errors) throw new Error(JSON.stringify(answer.errors))
    return answer.data
  }
  token = (await ask('mutation($p: String!) { login(input: {email: "admin@localhost", password: $p}) { token } }', { p: PASSWORD })).login.token
  await ask('mutation($i: SaveGithubSettingsInput!) { saveGithubSettings(input: $i) { gitSettings { id } } }', { i: { baseUrl: git, token: 'ghp_bench' } })
  const i = { provider: 'GITHUB', project: 'acme/shop', branch: 'main', name: 'shop' }
  const made = await ask('mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }', { i })
  // Pushes to another branch start nothing: what is measured is the intake, with its handling beside it.
  const on = { serviceId: made.registerGitProject.service.id, enabled: true, branches: ['never'] }
  const saved = (await ask('mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) { webhookSecret service { autoCi { webhookUrl } } } }', { i: on })).saveAutoCi
  return { name: 'kiops', port, path: new URL(saved.service.autoCi.webhookUrl).pathname, secret: saved.webhookSecret }
}

async function fastify() {
  const [port, secret] = [await free(), 'f'.repeat(64)]
  start([process.execPath, `${FOLDER}/fastify.mjs`], { SECRET: secret, FILE: `${FOLDER}/fastify.db`, PORT: String(port) }, 'fastify')
  await ready(port)
  return { name: 'fastify', port, path: '/webhook', secret }
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
  took.sort((a, b) => a - b)
  return { rate: took.length / seconds, p99: took[Math.floor(took.length * 0.99)] }
}

// Nothing is left running, however it ends.
process.on('exit', () => children.forEach(child => child.kill('SIGTERM')))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
let git
try {
  git = await github()
  const servers = [await kiops(git.base), await fastify()]
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
  for (const child of children) child.kill('SIGTERM')
  git?.server.close()
}
