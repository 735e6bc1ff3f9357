// A GitHub with one repository, for benches and for tests/conformance: its API as far as the program asks it, and the
// repository itself over HTTP.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { backend } from './git-http.mjs'

/** The token that it takes. */
export const TOKEN = 'ghp_bench'

/** acme/shop in a folder, with a work tree beside the bare repository that is served, and a first commit of these files. */
export class Repository {
  constructor(folder, files) {
    this.root = `${folder}/git`
    this.tree = `${folder}/tree`
    this.bare = `${this.root}/acme/shop.git`
    mkdirSync(this.bare, { recursive: true })
    mkdirSync(this.tree)
    this.git('init', '--quiet', '--bare', '--initial-branch=main', this.bare)
    this.git('init', '--quiet', '--initial-branch=main')
    this.commit(files)
  }

  git(...args) {
    const env = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' }
    return execFileSync('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...args], { cwd: this.tree, env, encoding: 'utf8' }).trim()
  }

  /** Writes files, by path, and pushes them to main: what was committed. */
  commit(files) {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(`${this.tree}/${path}`.replace(/\/[^/]*$/, ''), { recursive: true })
      writeFileSync(`${this.tree}/${path}`, content)
    }
    this.git('add', '--all')
    this.git('commit', '--quiet', '--message', 'Change a thing')
    this.git('push', '--quiet', this.bare, 'main')
    this.head = this.git('rev-parse', 'HEAD')
    return this.head
  }
}

/** Serves a repository; without one there is nothing to clone. It lets nobody install webhooks: the secret is given to be pasted. */
export async function github(repository) {
  const server = createServer((call, reply) => answer(call, reply))
  await new Promise(done => server.listen(0, '127.0.0.1', done))
  const base = `http://127.0.0.1:${server.address().port}`
  const acme = { login: 'acme', id: 5, type: 'User', name: 'Acme', html_url: `${base}/acme`, avatar_url: `${base}/a.png` }
  const shop = {
    id: 7, node_id: 'R_7', name: 'shop', full_name: 'acme/shop', private: true, visibility: 'private', description: null,
    archived: false, disabled: false, fork: false, default_branch: 'main', size: 108, html_url: `${base}/acme/shop`,
    clone_url: `${base}/acme/shop.git`, created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z',
    pushed_at: '2026-01-01T00:00:00Z', permissions: { admin: true, maintain: true, push: true, triage: true, pull: true }, owner: acme,
  }
  const branch = () => ({ name: 'main', protected: false, commit: { sha: repository?.head ?? 'ab'.repeat(20), url: `${base}/c` } })
  function answer(call, reply) {
    const url = new URL(call.url, base)
    if (repository && url.pathname.includes('.git/')) {
      const known = Buffer.from(call.headers.authorization?.slice(6) ?? '', 'base64').toString().endsWith(`:${TOKEN}`)
      return known ? backend(repository.root, call, reply, url) : reply.writeHead(401, { 'www-authenticate': 'Basic realm="Git"' }).end()
    }
    const path = url.pathname.replace(/^\/api\/v3/, '')
    const headers = { 'content-type': 'application/json', 'x-oauth-scopes': 'repo, read:org, admin:repo_hook' }
    const say = (status, value) => reply.writeHead(status, headers).end(JSON.stringify(value))
    call.resume()
    if (path === '/user') return say(200, acme)
    if (/hooks/.test(path)) return say(403, { message: 'Resource not accessible by personal access token' })
    if (/statuses/.test(path)) return say(201, { id: 1, state: 'pending' })
    if (/^\/user\/repos/.test(path)) return say(200, [shop])
    if (/^\/(repos\/acme\/shop|repositories\/7)$/.test(path)) return say(200, shop)
    if (/\/branches\/main$/.test(path)) return say(200, branch())
    if (/\/branches$/.test(path)) return say(200, [branch()])
    return say(404, { message: 'Not Found' })
  }
  return { base, server }
}
