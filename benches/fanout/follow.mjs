// Those who follow a log: the program `listen`, on a core of its own.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { sleep } from './kiops.mjs'

const { LISTEN, FOLLOWERS = '500' } = process.env

/// Follows a log; `write` is called once all are there. It is an error when one of them has missed a line or got one twice.
export async function follow({ port, path, token, id }, stalled, write) {
  const command = [LISTEN, `127.0.0.1:${port}`, path, token ?? 'none', id, FOLLOWERS, String(stalled)]
  const [program, ...rest] = existsSync('/usr/bin/taskset') ? ['taskset', '-c', '1', ...command] : command
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  let begun
  child.stdout.on('data', part => {
    said += part
    if (said.includes('ready') && !begun) begun = sleep(1000).then(write)
  })
  const code = await new Promise(done => child.on('close', done))
  await begun
  if (code) throw new Error(`those who follow ended with ${code}: ${said}`)
  const heard = JSON.parse(said.slice(said.indexOf('{')))
  if (heard.wrong || heard.lines % Number(FOLLOWERS)) throw new Error(`lines are missing: ${JSON.stringify(heard)}`)
  return heard
}

