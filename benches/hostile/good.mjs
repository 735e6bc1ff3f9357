// Ordinary traffic: a small query every few milliseconds, for as long as its parent wants; says how long each took.
import { Agent, request } from 'node:http'

const { URL: url, TOKEN: token, EVERY = '5' } = process.env
const agent = new Agent({ keepAlive: true })
const body = JSON.stringify({ query: '{ viewer { role } }' })
const headers = { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}`, 'content-length': body.length }
let took = []
setInterval(() => {
  const began = performance.now()
  const call = request(url, { agent, method: 'POST', headers }, answer => {
    answer.resume().on('end', () => took.push(answer.statusCode === 200 ? performance.now() - began : Infinity))
  })
  call.on('error', () => took.push(Infinity)).end(body)
}, Number(EVERY))
process.on('message', () => {
  process.send(took)
  took = []
})
process.on('disconnect', () => process.exit())
