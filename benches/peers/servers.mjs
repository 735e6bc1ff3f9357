// The parts of a delivery: the program with a project that it builds and deploys, and the engine, asked by hand, too.
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { request, Agent } from 'node:http'
import { TOKEN } from './github.mjs'
import { kiops as start } from './kiops.mjs'

const { PROGRAM, FOLDER, CLIENT, KIOPS_LOG, KIOPS_TEST_DOCKER_HOST: HOST } = process.env

// The program on SQLite, with a project that is registered there and builds on the engine.
export async function kiops(git) {
  const server = await start(PROGRAM, FOLDER, { env: { KIOPS_NET__ALLOW: '127.0.0.0/8', KIOPS_BUILD__RUNTIME: 'default/local', ...(KIOPS_LOG && { KIOPS_TELEMETRY__LOG: KIOPS_LOG }) } })
  const { ask } = server
  const runtime = (await ask('mutation($h: String!) { registerRuntime(input: {name: "local", docker: {host: $h}}) { runtime { id } } }', { h: HOST })).registerRuntime.runtime.id
  await ask('mutation($i: SaveGithubSettingsInput!) { saveGithubSettings(input: $i) { gitSettings { id } } }', { i: { baseUrl: git, token: TOKEN } })
  const healthCheck = { path: '/', intervalSeconds: 1, timeoutSeconds: 2, retries: 5, startSeconds: 0 }
  const i = { provider: 'GITHUB', project: 'acme/shop', branch: 'main', name: 'shop', runtimeId: runtime, containers: [{ name: 'web', port: 8080, healthCheck }] }
  server.service = (await ask('mutation($i: RegisterGitProjectInput!) { registerGitProject(input: $i) { service { id } } }', { i })).registerGitProject.service.id
  return server
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
