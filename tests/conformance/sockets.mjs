// graphql-transport-ws: graphql-ws as the client follows a log over a restart of the server, and each close code.
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'

import { sleep } from '../../benches/peers/kiops.mjs'
import { LINES, until } from './world.mjs'

const FOLLOW = 'subscription($id: ID!, $after: String) { pipelineLog(id: $id, after: $after) { cursor text } }'
const PAGE = 'query($id: ID!, $after: String) { node(id: $id) { ... on Pipeline { status log(first: 1000, after: $after) { nodes { cursor text } pageInfo { hasNextPage endCursor } } } } }'

/** A client that goes on after the last line that it has seen, however often it is cut off. */
async function follow(program, token, id, lines, cuts) {
  for (;;) {
    const client = createClient({
      url: program.base.replace('http', 'ws') + '/graphql', webSocketImpl: WebSocket, retryAttempts: 0,
      connectionParams: { authorization: `Bearer ${token}` },
    })
    try {
      const events = client.iterate({ query: FOLLOW, variables: { id, after: lines.at(-1)?.cursor } })
      for await (const { data, errors } of events) {
        if (errors) throw new Error(JSON.stringify(errors))
        lines.push(data.pipelineLog)
      }
      return
    } catch (cut) {
      // While the server is away nobody answers; what closes the socket is an event with a code.
      if (cut instanceof Error && !/ECONNREFUSED|socket hang up|ECONNRESET/.test(`${cut.message} ${cut.error?.message ?? ''}`)) throw cut
      cuts.push(cut.code ?? 'refused')
      await sleep(100)
    } finally {
      await client.dispose()
    }
  }
}

/** Every line of the log, by pages. */
async function stored(program, token, id) {
  const lines = []
  for (let after = null, more = true; more;) {
    const { status, log } = (await program.ask(token, PAGE, { id, after })).node
    if (!['SUCCEEDED', 'FAILED'].includes(status)) throw new Error(`the pipeline is ${status}`)
    lines.push(...log.nodes)
    more = log.pageInfo.hasNextPage
    after = log.pageInfo.endCursor
  }
  return lines
}

export async function resume({ program, member, services }) {
  const faults = []
  const start = 'mutation($input: StartPipelineInput!) { startPipeline(input: $input) { pipeline { id } } }'
  const { id } = (await program.ask(member, start, { input: { serviceId: services.shop } })).startPipeline.pipeline
  const [lines, cuts] = [[], []]
  const followed = follow(program, member, id, lines, cuts)
  const printed = () => lines.filter(({ text }) => text.includes('this is line ')).length
  await until('lines of the build', async () => printed() > LINES / 5, 120)
  const before = lines.length
  const code = await program.stop()
  if (code !== 0) faults.push(`the server ended with ${code}`)
  await program.run()
  await followed
  const all = await stored(program, member, id)
  const [heard, there] = [lines, all].map(list => list.map(({ cursor, text }) => `${cursor} ${text}`))
  const lost = there.filter(line => !heard.includes(line))
  const twice = heard.filter((line, at) => heard.indexOf(line) !== at)
  if (lost.length) faults.push(`${lost.length} lines were lost, such as ${lost[0]}`)
  if (twice.length) faults.push(`${twice.length} lines came twice, such as ${twice[0]}`)
  if (!faults.length && heard.join('\n') !== there.join('\n')) faults.push('the lines came in another order')
  if (!cuts.includes(1001)) faults.push(`the socket was not closed with 1001: ${cuts}`)
  if (before === lines.length || printed() < LINES) faults.push(`the restart was not in the middle: ${before} of ${lines.length} lines before it`)
  return { faults, said: `${lines.length} lines, ${before} of them before the restart` }
}

/** A socket with what it has heard, by hand. */
function socket(program, { protocol = 'graphql-transport-ws', headers = {} } = {}) {
  const ws = new WebSocket(program.base.replace('http', 'ws') + '/graphql', protocol, { headers })
  const heard = []
  ws.on('message', text => heard.push(JSON.parse(text)))
  ws.on('error', () => {})
  const closed = new Promise(done => {
    ws.on('close', (code, reason) => done(`${code}`))
    ws.on('unexpected-response', (_, answer) => { done(`HTTP ${answer.statusCode}`); ws.terminate() })
  })
  const opened = new Promise(done => ws.on('open', done))
  const say = message => ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message))
  return { ws, heard, closed, opened, say, wait: type => until(type, async () => heard.find(message => message.type === type), 10) }
}

export async function closing({ program, member, services }) {
  const init = { type: 'connection_init', payload: { authorization: `Bearer ${member}` } }
  const endless = { id: '1', type: 'subscribe', payload: { query: 'subscription { serviceChanged { id } }' } }
  const cases = [
    ['what is no JSON', '4400', ['{']],
    ['an unknown type', '4400', [{ type: 'start' }]],
    ['a message without an id', '4400', [init, { type: 'subscribe', payload: endless.payload }]],
    ['a binary message', '4400', [Buffer.from([1, 2])]],
    ['a subscription before the acknowledgement', '4401', [endless]],
    ['a wrong token', '4403', [{ type: 'connection_init', payload: { authorization: 'Bearer nobody' } }]],
    ['no token', '4403', [{ type: 'connection_init' }]],
    // It is closed with 4406 as well, but a client has to give up before: it was not given what it asked for.
    ['another subprotocol', '1006', [], { protocol: 'graphql-ws' }],
    ['no subprotocol', '4406', [], { protocol: [] }],
    ['silence', '4408', []],
    ['an id that is in use', '4409', [init, endless, endless]],
    ['a second initialisation', '4429', [init, init]],
    ['a message of three megabytes', '1009', [init, ' '.repeat(3_000_000)]],
    ['a page of another origin', 'HTTP 403', [], { headers: { origin: 'https://evil.example' } }],
  ]
  const faults = []
  await Promise.all(cases.map(async ([what, wanted, messages, options]) => {
    const { ws, closed, opened, say, wait } = socket(program, options)
    await Promise.race([opened, closed])
    for (const message of messages) {
      say(message)
      if (message === init) await wait('connection_ack')
    }
    const got = await Promise.race([closed, sleep(20_000).then(() => 'nothing')])
    ws.terminate()
    if (got !== wanted) faults.push(`${what}: ${got} instead of ${wanted}`)
  }))
  // And what must not close it: a ping, an operation that is refused, one that completes.
  const { ws, heard, opened, say, wait } = socket(program)
  await opened
  say({ type: 'ping' })
  await wait('pong')
  say(init)
  await wait('connection_ack')
  say({ id: 'a', type: 'subscribe', payload: { query: '{ nonsense }' } })
  await wait('error')
  say({ id: 'a', type: 'subscribe', payload: { query: 'query($id: ID!) { service(id: $id) { name } }', variables: { id: services.front } } })
  await wait('complete')
  if (heard.find(({ type }) => type === 'next')?.payload.data?.service?.name !== 'front') faults.push(`a query: ${JSON.stringify(heard)}`)
  ws.terminate()
  return { faults, said: `${cases.length} ways to be closed, each with its code` }
}
