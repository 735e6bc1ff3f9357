// A release build of KIOPS as a real server on SQLite, and what the benches need to speak to it.
import { spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { createServer } from 'node:net'

const PASSWORD = 'correct horse battery'
const children = new Set()

// Nothing is left running, however it ends.
process.on('exit', () => children.forEach(child => child.kill('SIGKILL')))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

export const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
export const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))]
export const sleep = milliseconds => new Promise(done => setTimeout(done, milliseconds))
export const spread = (values, digits = 0) => `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`

export const free = () => new Promise(done => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => done(port))
  })
})

/// Starts a program, on one core where one is named, with nothing of this environment but PATH.
export function start(command, { env = {}, folder, name, core }) {
  const log = openSync(`${folder}/${name}.log`, 'a')
  const pin = core !== undefined && existsSync('/usr/bin/taskset') ? ['taskset', '-c', String(core)] : []
  const [program, ...rest] = [...pin, ...command]
  const child = spawn(program, rest, { cwd: folder, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', log, log] })
  child.ended = new Promise(done => child.on('exit', done))
  child.ended.then(() => children.delete(child))
  children.add(child)
  return child
}

export async function stop(child) {
  child.kill('SIGTERM')
  await child.ended
}

/// Waits for 200 and says after how many milliseconds it came.
export async function answers(url, options) {
  const began = performance.now()
  while (performance.now() - began < 60_000) {
    const found = await fetch(url, options).catch(() => null)
    if (found?.ok) return performance.now() - began
    await sleep(1)
  }
  throw new Error(`nothing answers at ${url}`)
}

/// A server in a folder, whose database is `kiops.db` there.
export async function kiops(program, folder, { core, env = {}, port } = {}) {
  port ??= await free()
  const base = `http://127.0.0.1:${port}`
  const child = start([program, 'serve'], {
    folder, core, name: 'kiops',
    env: {
      KIOPS_DATABASE__URL: `sqlite://${folder}/kiops.db`, KIOPS_SECRETS__KEY_FILE: `${folder}/secret.key`,
      KIOPS_SERVER__LISTEN: `127.0.0.1:${port}`, KIOPS_SERVER__PUBLIC_URL: base, KIOPS_BUILD__WORK_DIR: `${folder}/work`,
      KIOPS_BOOTSTRAP__ADMIN_PASSWORD: PASSWORD, KIOPS_TELEMETRY__LOG: 'warn', KIOPS_RUNTIMES__CHECK_EVERY: '1h',
      KIOPS_DOCKER_HUB__REGISTRY_URL: 'http://127.0.0.1:1', KIOPS_DOCKER_HUB__API_URL: 'http://127.0.0.1:1',
      KIOPS_DOCKER_HUB__AUTH_URL: 'http://127.0.0.1:1', DOCKER_HOST: 'unix:///nowhere', ...env,
    },
  })
  await answers(`${base}/readyz`)
  const server = { child, port, base, url: `${base}/graphql`, token: undefined }
  server.ask = async (query, variables) => {
    const headers = { 'content-type': 'application/json', accept: 'application/json', ...(server.token && { authorization: `Bearer ${server.token}` }) }
    const answer = await (await fetch(server.url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })).json()
    if (answer.errors) throw new Error(JSON.stringify(answer.errors))
    return answer.data
  }
  server.token = (await server.ask('mutation($p: String!) { login(input: {email: "admin@localhost", password: $p}) { token } }', { p: PASSWORD })).login.token
  return server
}
