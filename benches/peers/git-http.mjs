// A Git server over HTTP, for the provider of a bench or of a check.
import { spawn } from 'node:child_process'

/** `git http-backend` as a CGI program, for the repositories in a folder. */
export function backend(folder, call, reply, url) {
  const child = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_PROJECT_ROOT: folder, GIT_HTTP_EXPORT_ALL: '1',
      REQUEST_METHOD: call.method, PATH_INFO: url.pathname, QUERY_STRING: url.search.slice(1), REMOTE_ADDR: '127.0.0.1',
      CONTENT_TYPE: call.headers['content-type'] ?? '', CONTENT_LENGTH: call.headers['content-length'] ?? '',
      HTTP_CONTENT_ENCODING: call.headers['content-encoding'] ?? '', GIT_PROTOCOL: call.headers['git-protocol'] ?? '',
    },
  })
  child.stdin.on('error', () => {})
  call.pipe(child.stdin)
  let head = Buffer.alloc(0)
  const first = data => {
    head = Buffer.concat([head, data])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    child.stdout.off('data', first)
    const headers = Object.fromEntries(head.subarray(0, end).toString().split('\r\n').map(line => line.split(': ')))
    reply.writeHead(Number(headers.Status?.split(' ')[0] ?? 200), headers)
    reply.write(head.subarray(end + 4))
    child.stdout.pipe(reply)
  }
  child.stdout.on('data', first)
}
