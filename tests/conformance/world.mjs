// A server as one would run it, with an admin, a member and something to ask for: a GitHub with one repository, the program
// on SQLite in a temporary folder, and a real Docker engine.
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { github, Repository, TOKEN } from '../../benches/peers/github.mjs'
import { free, sleep } from '../../benches/peers/kiops.mjs'

const { KIOPS_BIN, FOLDER, KIOPS_TEST_DOCKER_HOST: HOST } = process.env
const PASSWORD = 'correct horse battery'
/** Lines that a build prints, and how many of them in a second. */
export const LINES = 1500
const PER_SECOND = 100
/** What is built from and deployed; it is on the engine and on no registry. */
const BASE = 'conformance/base'

/** Asks until there is an answer. */
export async function until(what, probe, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(100)) {
    const found = await probe()
    if (found) return found
  }
  throw new Error(`waited ${seconds} s for ${what}`)
}

/** The program, which can be stopped and started again on what it left. */
export class Program {
  static async start() {
    const program = new Program()
    // Nothing is left running, however it ends.
    process.on('exit', () => program.child?.kill('SIGTERM'))
    program.port = await free()
    program.base = `http://127.0.0.1:${program.port}`
    await program.run()
    return program
  }

  async run() {
    const log = openSync(`${FOLDER}/kiops.log`, 'a')
    const settings = {
      DATABASE__URL: `sqlite://${FOLDER}/kiops.db?mode=rwc`, SERVER__LISTEN: `127.0.0.1:${this.port}`, SERVER__PUBLIC_URL: this.base,
      BOOTSTRAP__ADMIN_PASSWORD: PASSWORD, NET__ALLOW: '127.0.0.0/8', JOBS__LEASE: '3s', JOBS__POLL: '200ms', TELEMETRY__LOG: 'info',
      BUILD__RUNTIME: 'default/local',
      // Nobody answers there, and at once: nothing leaves this machine.
      DOCKER_HUB__REGISTRY_URL: 'http://127.0.0.1:1', DOCKER_HUB__API_URL: 'http://127.0.0.1:1', DOCKER_HUB__AUTH_URL: 'http://127.0.0.1:1',
    }
    const env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`KIOPS_${key}`, value]))
    this.child = spawn(KIOPS_BIN, ['serve'], { cwd: FOLDER, stdio: ['ignore', log, log], env: { PATH: process.env.PATH, ...env } })
    this.ended = new Promise(done => this.child.once('exit', done))
    await until('the server', async () => {
      if (this.child.exitCode !== null) throw new Error(`the server does not start:\n${this.log()}`)
      return (await fetch(`${this.base}/readyz`).catch(() => null))?.ok
    })
  }

  /** Asks it to end, and says with which code it did. */
  stop() {
    this.child.kill('SIGTERM')
    return this.ended
  }

  log() {
    return readFileSync(`${FOLDER}/kiops.log`, 'utf8')
  }

  /** The data of a document that must succeed. */
  async ask(token, query, variables) {
    const headers = { 'content-type': 'application/json', accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const answer = await fetch(`${this.base}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })
    const { data, errors } = await answer.json()
    if (errors) throw new Error(`${query}: ${JSON.stringify(errors)}`)
    return data
  }

  async login(email) {
    const input = { email, password: PASSWORD }
    return (await this.ask(null, 'mutation($input: LoginInput!) { login(input: $input) { token } }', { input })).login.token
  }
}

/** The image that everything begins with: one busybox, imported as a file system. */
async function image() {
  mkdirSync(`${FOLDER}/base/bin`, { recursive: true })
  copyFileSync('/bin/busybox', `${FOLDER}/base/bin/busybox`)
  copyFileSync('/bin/busybox', `${FOLDER}/base/bin/sh`)
  const tar = execFileSync('tar', ['-C', `${FOLDER}/base`, '-c', '.'], { maxBuffer: 64 << 20 })
  await new Promise((done, fail) => {
    const path = `/v1.41/images/create?fromSrc=-&repo=${BASE}&tag=1`
    const [, kind, rest] = /^(unix|tcp):\/\/(.+)$/.exec(HOST)
    const where = kind === 'unix' ? { socketPath: rest } : { host: rest.split(':')[0], port: rest.split(':')[1] }
    const call = request({ ...where, method: 'POST', path }, async answer => {
      let said = ''
      for await (const part of answer) said += part
      if (answer.statusCode >= 400 || said.includes('errorDetail')) return fail(new Error(said))
      done()
    })
    call.on('error', fail).end(tar)
  })
}

/** A repository whose build prints for some time. */
function repository() {
  const print = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo "this is line $i"; busybox usleep ${1_000_000 / PER_SECOND}; done`
  return new Repository(FOLDER, { Dockerfile: `FROM ${BASE}:1\nRUN ${print}\nCMD ["busybox", "sleep", "999999"]\n` })
}

/** The whole of it: the program, tokens of an admin and of a member, and a service whose builds print. */
export async function build() {
  await image()
  const git = (await github(repository())).base
  const program = await Program.start()
  const admin = await program.login('admin@localhost')
  const make = (what, input) => program.ask(admin, `mutation($input: ${what[0].toUpperCase()}${what.slice(1)}Input!) { ${what}(input: $input) { __typename } }`, { input })
  await make('createUser', { email: 'grace@example.com', name: 'Grace', role: 'MEMBER', password: PASSWORD })
  const member = await program.login('grace@example.com')
  const runtime = (await program.ask(admin, 'mutation($host: String!) { registerRuntime(input: {name: "local", docker: {host: $host}}) { runtime { id } } }', { host: HOST })).registerRuntime.runtime.id
  await make('saveGithubSettings', { baseUrl: git, token: TOKEN })
  await make('registerGitProject', { provider: 'GITHUB', project: 'acme/shop', branch: 'main', name: 'shop', runtimeId: runtime })
  const web = { name: 'web', image: BASE, tag: '1', port: 8080, command: ['busybox', 'httpd', '-f', '-p', '8080'] }
  for (const name of ['front', 'back', 'queue', 'cache', 'search', 'mail', 'jobs', 'admin-pages']) {
    await make('registerDockerHubService', { name, runtimeId: runtime, containers: [{ ...web, env: [{ name: 'NAME', value: name }, { name: 'KEY', value: 'hidden', secret: true }] }] })
  }
  const nodes = (await program.ask(admin, '{ services(first: 100) { nodes { id name } } }')).services.nodes
  const services = Object.fromEntries(nodes.map(({ id, name }) => [name, id]))
  // Two deployments: one that comes up, and one whose image is nowhere.
  await make('deployService', { serviceId: services.front })
  await make('deployService', { serviceId: services.back, tags: [{ container: 'web', tag: 'missing' }] })
  await make('createApiToken', { name: 'scripts', role: 'MEMBER' })
  const ended = '{ deployments(first: 10) { nodes { finishedAt } } }'
  await until('the deployments', async () => (await program.ask(admin, ended)).deployments.nodes.every(node => node.finishedAt))
  return { program, admin, member, services }
}
