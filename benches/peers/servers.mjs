// The parts: a GitHub with one repository, the program beside it, and the engine.
import { spawn, execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { createServer, request, Agent } from 'node:http'
import { createServer as listen } from 'node:net'
import { backend } from './git-http.mjs'

const { PROGRAM, FOLDER, CLIENT, KIOPS_TEST_DOCKER_HOST: HOST } = process.env
const PASSWORD = 'correct horse battery'
const TOKEN = 'ghp_bench'
const children = []

export const pause = time => new Promise(done => setTimeout(done, time))

// Nothing is left running, however it ends.
export const stop = () => children.forEach(child => child.kill('SIGTERM'))
process.on('exit', stop)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

const free = () => new Promise(done => {
  const server = listen().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)) })
})

// A repository with a work tree beside the bare one that is served.
export function repository(files) {
  const [bare, tree] = [`${FOLDER}/git/acme/shop.git`, `${FOLDER}/tree`]
  const env = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' }
  const git = (...args) => execFileSync('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...args], { cwd: tree, env, encoding: 'utf8' }).trim()
  mkdirSync(bare, { recursive: true })
  mkdirSync(tree)
  git('init', '--quiet', '--bare', '--initial-branch=main', bare)
  git('init', '--quiet', '--initial-branch=main')
  const commit = changes => {
    for (const [path, content] of Object.entries(changes)) {
      mkdirSync(`${tree}/${path}`.replace(/\/[^/]*$/, ''), { recursive: true })
      writeFileSync(`${tree}/${path}`, content)
    }
    git('add', '--all')
    git('commit', '--quiet', '--message', 'Change a thing')
    git('push', '--quiet', bare, 'main')
    return git('rev-parse', 'HEAD')
  }
  return { tree, commit, head: commit(files) }
}

// It lets nobody install webhooks: the secret is given to be pasted.
export async function github() {
  const port = await free()
  const base = `http://127.0.0.1:${port}`
  const found = {
    id: 7, node_id: 'R_7', name: 'shop', full_name: 'acme/shop', private: true, visibility: 'private', description: null,
    archived: false, disabled: false, fork: false, default_branch: 'main', size: 108, html_url: `${base}/acme/shop`,
    clone_url: `${base}/acme/shop.git`, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z',
    pushed_at: '2026-01-01T00:00:00Z', permissions: { admin: true, maintain: true, push: true, triage: true, pull: true },
    owner: { login: 'acme', id: 5, type: 'User', html_url: `${base}/acme`, avatar_url: `${base}/a.png` },
  }
  const branch = { name: 'main', protected: false, commit: { sha: 'ab'.repeat(20), url: `${base}/c` } }
  const server = createServer((call, reply) => {
    const url = new URL(call.url, base)
    if (url.pathname.includes('.git/')) {
      const known = Buffer.from(call.headers.authorization?.slice(6) ?? '', 'base64').toString().endsWith(`:${TOKEN}`)
      return known ? backend(`${FOLDER}/git`, call, reply, url) : reply.writeHead(401, { 'www-authenticate': 'Basic realm="Git"' }).end()
    }
    const path = url.pathname.replace(/^\/api\/v3/, '')
    const headers = { 'content-type': 'application/json', 'x-oauth-scopes': 'repo, read:org, admin:repo_hook' }
    const say = (status, value) => reply.writeHead(status, headers).end(JSON.stringify(value))
    call.resume()
    if (path === '/user') return say(200, { login: 'acme', id: 5, type: 'User', name: 'Acme', html_url: `${base}/acme`, avatar_url: `${base}/a.png` })
    if (/hooks/.test(path)) return say(403, { message: 'Resource not accessible by personal access token' })
    if (/statuses/.test(path)) return say(201, { id: 1, state: 'pending' })
    if (/^\/(repos\/acme\/shop|repositories\/7)$/.test(path)) return say(200, found)
    if (/\/branches\/main$/.test(path)) return say(200, branch)
    if (/\/branches$/.test(path)) return say(200, [branch])
    return say(404, { message: 'Not Found' })
  })
  await new Promise(done => server.listen(port, '127.0.0.1', done))
  return { base, server }
}

// The program on SQLite, with a project that is registered there and builds on the engine.
export async function kiops(git) {
  const port = await free()
  const base = `http://127.0.0.1:${port}`
  const log = openSync(`${FOLDER}/kiops.log`, 'a')
  const child = spawn(PROGRAM, ['serve'], {
    cwd: FOLDER, stdio: ['ignore', log, log],
    env: {
      PATH: process.env.PATH, KIOPS_DATABASE__URL: `sqlite://${FOLDER}/kiops.db?mode=rwc`, KIOPS_SERVER__LISTEN: `127.0.0.1:${port}`,
      KIOPS_SERVER__PUBLIC_URL: base, KIOPS_BOOTSTRAP__ADMIN_PASSWORD: PASSWORD, KIOPS_NET__ALLOW: '127.0.0.0/8',
      KIOPS_TELEMETRY__LOG: process.env.KIOPS_LOG ?? 'warn', KIOPS_BUILD__RUNTIME: 'default/local', KIOPS_DOCKER_HUB__REGISTRY_URL: 'http://127.0.0.1:1',
      KIOPS_DOCKER_HUB__API_URL: 'http://127.0.0.1:1', KIOPS_DOCKER_HUB__AUTH_URL: 'http://127.0.0.1:1',
    },
  })
  children.push(child)
  for (let n = 0; !(await fetch(`${base}/readyz`).catch(() => null))?.ok; n++) {
    if (n === 300) throw new Error('the server does not start')
    await pause(100)
  }
  let token
  const ask = async (query, variables) => {
    const headers = { 'content-type': 'application/json', accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const answer = await (await fetch(`${base}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })).json()
    if (answer.errors) throw new Error(`${query}: ${JSON.stringify(answer.errors)}`)
    return answer.data
  }
  token = (await ask('mutation($p: String!) { login(input: {email: "admin@localhost", password: $p}) { token } }', { p: PASSWORD })).login.token
  const runtime = (await ask('mutation($h: String!) { registerRuntime(input: {name: "local", docker: {host: $h}}) { runtime { id } } }', { h: HOST })).registerRuntime.runtime.id
  await ask('mutation($i: SaveGithubSettingsInput!) { saveGithubSettings(input: $i) { gitSettings { id } } }', { i: { baseUrl: git, token: TOKEN } })
  const healthCheck = { path: '/', intervalSeconds: 1, timeoutSeconds: 2, retries: 5, startSeconds: 0 }
  const i = { provider: 'GITHUB', project: 'acme/shop', branch: 'main', name: 'shop', runtimeId: runtime, containers: [{ name: 'web', port: 8080, healthCheck }] }
  const service = (await ask('mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }', { i })).registerGitProject.service.id
  return { base, ask, service, pid: child.pid, token: () => token }
}

const agent = new Agent({ keepAlive: true })

// One call of the engine's API: status and what was answered.
export const engine = (method, path, body) => new Promise((done, fail) => {
  const text = body && JSON.stringify(body)
  const headers = text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {}
  const call = request({ agent, socketPath: HOST.replace('unix://', ''), method, path: `/v1.41${path}`, headers }, async answer => {
    let said = ''
    for await (const part of answer) said += part
    if (answer.statusCode >= 400) return fail(new Error(`${method} ${path}: ${answer.statusCode} ${said}`))
    done(said && JSON.parse(said))
  })
  call.on('error', fail).end(text)
})

const program = (name, args, env) => new Promise((done, fail) => {
  const child = spawn(name, args, { env: { PATH: process.env.PATH, HOME: FOLDER, ...env }, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', part => { said += part })
  child.on('error', fail).on('close', code => code ? fail(new Error(said)) : done())
})

// The docker program, which builds with BuildKit.
export const docker = (...args) => program(CLIENT, args, { DOCKER_HOST: HOST, DOCKER_BUILDKIT: '1' })

// A shallow clone of the repository.
export const clone = (from, folder) =>
  program('git', ['clone', '--quiet', '--depth=1', `${from.replace('//', `//ada:${TOKEN}@`)}/acme/shop.git`, folder], { GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' })

// The image that everything begins with.
export async function base() {
  mkdirSync(`${FOLDER}/base`)
  copyFileSync('/bin/busybox', `${FOLDER}/base/busybox`)
  writeFileSync(`${FOLDER}/base/Dockerfile`, 'FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n')
  await docker('build', '--quiet', '--tag', 'bench/base:1', `${FOLDER}/base`)
}
