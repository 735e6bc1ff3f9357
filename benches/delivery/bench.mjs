// Builds, deploys and pushes by turns through the program and by hand, and says what came of it.
import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { loadavg, cpus } from 'node:os'
import { github, Repository } from '../peers/github.mjs'
import { sleep, stop } from '../peers/kiops.mjs'
import { base, clone, docker, engine, kiops } from '../peers/servers.mjs'

const { FOLDER } = process.env
const rounds = Number(process.env.ROUNDS ?? 7)
const pushes = Number(process.env.PUSHES ?? 40)
const wanted = (process.env.ONLY ?? 'builds,deployments,pushes').split(',')

const DOCKERFILE = `FROM bench/base:1
ARG ROUND
RUN echo "$ROUND" > /round && busybox dd if=/dev/zero bs=1M count=50 2>/dev/null | busybox sha256sum > /sum
COPY . /www
RUN busybox find /www -type f -exec busybox sha256sum {} + > /sums
STOPSIGNAL SIGKILL
CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
`
const files = { Dockerfile: DOCKERFILE, '.dockerignore': 'NOTES\n.git\n', NOTES: 'none', 'index.html': 'hello' }
for (let n = 0; n < 300; n++) files[`assets/${n}.txt`] = randomBytes(10_000).toString('hex')

const sorted = values => [...values].sort((a, b) => a - b)
const median = values => sorted(values)[Math.floor(values.length / 2)]
const late = values => sorted(values)[Math.min(values.length - 1, Math.ceil(values.length * 0.95) - 1)]
const ms = value => `${value.toFixed(0)} ms`
const spread = values => `${ms(median(values))} (${ms(Math.min(...values))} to ${ms(Math.max(...values))})`
const since = began => performance.now() - began

const repo = new Repository(FOLDER, files)
const git = await github(repo)
let server
const STAGES = 'id status createdAt finishedAt image stages { kind status message startedAt finishedAt }'
const took = span => new Date(span.finishedAt) - new Date(span.startedAt)
const stage = (pipeline, kind) => pipeline.stages.find(one => one.kind === kind)

async function ended(query, id) {
  for (;;) {
    const found = (await server.ask(query, { id })).node
    if (!['QUEUED', 'RUNNING'].includes(found.status)) {
      if (found.status !== 'SUCCEEDED') throw new Error(JSON.stringify(found))
      return found
    }
    // Asking takes a part of the machine: what was needed is told by when it ended, not by when that was seen.
    await sleep(100)
  }
}
const pipeline = id => ended(`query($id: ID!) { node(id: $id) { ... on Pipeline { ${STAGES} } } }`, id)

async function run() {
  const i = { serviceId: server.service }
  return pipeline((await server.ask('mutation($i: StartPipelineInput!) { startPipeline(input: $i) { pipeline { id } } }', { i })).startPipeline.pipeline.id)
}

const argument = value => server.ask('mutation($i: SaveBuildSettingsInput!) { saveBuildSettings(input: $i) { service { id } } }',
  { i: { serviceId: server.service, buildArgs: [{ name: 'ROUND', value }] } })

async function builtByKiops() {
  const began = Date.now()
  const done = await run()
  return { whole: new Date(done.finishedAt) - began, source: took(stage(done, 'SOURCE')), build: took(stage(done, 'BUILD')) }
}

// A shallow clone over the same server, and a build of it.
async function builtByHand(value) {
  const folder = `${FOLDER}/clone`
  rmSync(folder, { recursive: true, force: true })
  const began = performance.now()
  await clone(git.base, folder)
  const source = since(began)
  await docker('build', '--quiet', '--tag', 'bench/shop:1', '--build-arg', `ROUND=${value}`, '--label', 'org.opencontainers.image.revision=1', folder)
  const whole = since(began)
  return { whole, source, build: whole - source }
}

// By turns, and by turns who comes first.
async function both(first, one, other) {
  if (first) return [await one(), await other()]
  const last = await other()
  return [await one(), last]
}

async function builds() {
  const found = { cold: [], warm: [] }
  const words = ({ whole, source, build }) => `${ms(whole)} (source ${ms(source)}, build ${ms(build)})`
  const note = (how, [kiops, hand]) => {
    found[how].push({ kiops, hand })
    console.log(`${how} build: kiops ${words(kiops)}, by hand ${words(hand)}`)
  }
  for (let n = 0; n <= rounds; n++) {
    await argument(`kiops-${n}`)
    const cold = await both(n % 2, builtByKiops, () => builtByHand(`hand-${n}`))
    // Nothing of the context changes, but the commit does: an identical one would not be built at all.
    repo.commit({ NOTES: `round ${n}` })
    const warm = await both(n % 2, builtByKiops, () => builtByHand(`hand-${n}`))
    // The first round warms up.
    if (n) note('cold', cold), note('warm', warm)
  }
  for (const [how, all] of Object.entries(found)) {
    for (const part of ['whole', 'source', 'build']) {
      const [kiops, hand] = ['kiops', 'hand'].map(who => all.map(one => one[who][part]))
      const more = median(kiops) - median(hand)
      console.log(`${how}, ${part}: kiops ${spread(kiops)}, by hand ${spread(hand)}: ratio ${(median(kiops) / median(hand)).toFixed(2)}, ${ms(more)} more`)
    }
  }
}

async function deployedByKiops(pipelineId, environment) {
  const save = 'mutation($i: SaveEnvironmentInput!) { saveEnvironment(input: $i) { environment { id } } }'
  const made = (await server.ask(save, { i: { serviceId: server.service, name: environment } })).saveEnvironment.environment.id
  const i = { serviceId: server.service, environment, pipelineId }
  const began = Date.now()
  const { id } = (await server.ask('mutation($i: DeployServiceInput!) { deployService(input: $i) { deployment { id } } }', { i })).deployService.deployment
  const done = await ended('query($id: ID!) { node(id: $id) { ... on Deployment { status message finishedAt } } }', id)
  const time = new Date(done.finishedAt) - began
  await server.ask('mutation($id: ID!) { removeEnvironment(input: {id: $id}) { id } }', { id: made })
  const left = 'query($id: ID!) { service(id: $id) { environments { name } } }'
  while ((await server.ask(left, { id: server.service })).service.environments.some(one => one.name === environment)) await sleep(20)
  return time
}

// What a person does who knows the API: a network, a container that is published on the host, and asking until it answers.
async function deployedByHand(image) {
  const began = performance.now()
  const name = 'bench-hand'
  await engine('POST', '/networks/create', { Name: name })
  const { Id } = await engine('POST', `/containers/create?name=${name}`, {
    Image: image, ExposedPorts: { '8080/tcp': {} },
    HostConfig: { NetworkMode: name, PortBindings: { '8080/tcp': [{ HostPort: '8080' }] }, RestartPolicy: { Name: 'unless-stopped' } },
    NetworkingConfig: { EndpointsConfig: { [name]: { Aliases: ['web'] } } },
  })
  await engine('POST', `/containers/${Id}/start`)
  const { NetworkSettings, State } = await engine('GET', `/containers/${Id}/json`)
  if (!State.Running) throw new Error('it does not run')
  const address = NetworkSettings.Networks[name].IPAddress
  while (!(await fetch(`http://${address}:8080/`).catch(() => null))?.ok) await sleep(10)
  await engine('GET', `/containers/${Id}/json`)
  const time = since(began)
  await engine('DELETE', `/containers/${Id}?force=true&v=true`)
  await engine('DELETE', `/networks/${name}`)
  return time
}

async function deployments() {
  const built = await run()
  const tag = built.image.split('@')[0]
  const [all, hands] = [[], []]
  for (let n = 0; n <= rounds; n++) {
    const [kiops, hand] = await both(n % 2, () => deployedByKiops(built.id, `round-${n}`), () => deployedByHand(tag))
    if (!n) continue
    all.push(kiops), hands.push(hand)
    console.log(`deployment: kiops ${ms(kiops)}, by hand ${ms(hand)}`)
  }
  const most = 1.1 * median(hands) + 1000
  const ratio = (median(all) / median(hands)).toFixed(2)
  console.log(`deployment: kiops ${spread(all)}, by hand ${spread(hands)}: ratio ${ratio}, ${ms(median(all) - median(hands))} more; wanted: at most ${ms(most)}, 1.10 and the health interval of 1 s`)
}

async function pushed() {
  const i = { serviceId: server.service, enabled: true, branches: ['main'] }
  const saved = (await server.ask('mutation($i: SaveAutoCiInput!) { saveAutoCi(input: $i) { webhookSecret service { autoCi { webhookUrl } } } }', { i })).saveAutoCi
  const newest = `query($id: ID!) { service(id: $id) { pipelines(first: 1) { nodes { ${STAGES} commit { sha } } } } }`
  const [answered, at, source, build] = [[], [], [], []]
  for (let n = 0; n < pushes; n++) {
    const sha = repo.commit({ NOTES: `push ${n}` })
    const push = { ref: 'refs/heads/main', before: '1'.repeat(40), after: sha, repository: { id: 7, name: 'shop', full_name: 'acme/shop' },
      commits: [{ id: sha, message: 'Change a thing' }], head_commit: { id: sha, message: 'Change a thing', timestamp: '2026-01-01T00:00:00Z', author: { name: 'Ada' } } }
    const body = JSON.stringify(push)
    const headers = { 'content-type': 'application/json', 'x-github-event': 'push', 'x-github-delivery': randomUUID(),
      'x-hub-signature-256': 'sha256=' + createHmac('sha256', saved.webhookSecret).update(body).digest('hex') }
    const sent = Date.now()
    const answer = await fetch(saved.service.autoCi.webhookUrl, { method: 'POST', headers, body })
    if (answer.status !== 202) throw new Error(`the webhook is answered with ${answer.status}`)
    answered.push(Date.now() - sent)
    let made
    while (made?.commit?.sha !== sha) {
      await sleep(20)
      made = (await server.ask(newest, { id: server.service })).service.pipelines.nodes[0]
    }
    const done = await pipeline(made.id)
    at.push(new Date(done.createdAt) - sent)
    source.push(new Date(stage(done, 'SOURCE').startedAt) - sent)
    build.push(new Date(stage(done, 'BUILD').startedAt) - sent)
  }
  const line = (what, values) => console.log(`push: ${what} after ${spread(values)}, p95 ${ms(late(values))}`)
  line('webhook answered', answered)
  line('pipeline made', at)
  line('its first stage, SOURCE, at work', source)
  line('its BUILD at work (the source is fetched by then)', build)
  console.log('push: wanted: at work within 100 ms, p95')
}

try {
  console.log(`${cpus().length} cores, load ${loadavg().map(one => one.toFixed(1)).join(' ')}`)
  await base()
  server = await kiops(git.base)
  if (wanted.includes('builds')) await builds()
  if (wanted.includes('deployments')) await deployments()
  if (wanted.includes('pushes')) await pushed()
} finally {
  if (server) await stop(server.child)
  git.server.close()
}
process.exit()
