// Fills a database of KIOPS: what the API makes is made through it once, and copied row by row to the size that is asked for.
import Database from 'better-sqlite3'
import { randomBytes } from 'node:crypto'
import { kiops, sleep, stop } from './kiops.mjs'

// Ids are UUIDs of version 7, so that they lie as those of the program do.
let last = Date.now() - 10_000_000
const id = () => {
  const hex = (++last).toString(16).padStart(12, '0') + randomBytes(10).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

const stages = now => JSON.stringify(['SOURCE', 'BUILD', 'SCAN', 'TEST', 'DEPLOY'].map(kind => ({ kind, status: 'SUCCEEDED', message: null, started_at: now, finished_at: now })))

/// Rows as the program would write them.
export const row = {
  pipeline: ({ service, organization, number, status, now }) => ({
    id: id(), organization_id: organization, service_id: service, number, trigger: 'PUSH', ref_name: 'main', lane: `${service}/main`,
    commit_sha: randomBytes(20).toString('hex'), status, stages: stages(now), settings: '{}', cancel_requested: 0, created_at: now,
    started_at: now, finished_at: status === 'RUNNING' ? null : now,
  }),
}

/// Makes `services` of them, each with three pipelines and three deployments.
export async function seed(program, folder, services) {
  const server = await kiops(program, folder)
  const organization = (await server.ask('{ viewer { organization { slug } } }')).viewer.organization.slug
  const file = new Database(`${folder}/kiops.db`)
  file.pragma('busy_timeout = 10000')
  const { id: organizationId, created_at: now } = file.prepare('SELECT id, created_at FROM organization WHERE slug = ?').get(organization)
  const runtime = id()
  insert(file, 'runtime', {
    id: runtime, organization_id: organizationId, name: 'local', kind: 'DOCKER', endpoint: 'unix:///nowhere', status: 'READY', declared: 0,
    created_at: now,
  })
  const container = { name: 'web', image: 'shop', tag: '1.0', port: 8080, env: [{ name: 'GREETING', value: 'hello' }, { name: 'MODE', value: 'production' }] }
  const runtimeId = Buffer.from(`Runtime:${runtime}`).toString('base64url')
  const input = { name: 'template', runtimeId, containers: [container] }
  const made = await server.ask('mutation($i: RegisterDockerHubServiceInput!) { registerDockerHubService(input: $i) { service { id } } }', { i: input })
  const serviceId = made.registerDockerHubService.service.id
  await server.ask('mutation($i: DeployServiceInput!) { deployService(input: $i) { deployment { id } } }', { i: { serviceId } })
  // It fails, since there is no engine; what it would have made is stored all the same.
  while (!file.prepare('SELECT finished_at FROM deployment').get()?.finished_at) await sleep(20)
  await stop(server.child)

  const [service, environment, deployment] = ['service', 'environment', 'deployment'].map(table => file.prepare(`SELECT * FROM ${table}`).get())
  file.pragma('foreign_keys = OFF')
  file.transaction(() => {
    for (let n = 0; n < services; n++) {
      const [serviceId, environmentId] = [id(), id()]
      const deployments = [id(), id(), id()]
      const pipelines = [1, 2, 3].map(number => row.pipeline({ service: serviceId, organization: organizationId, number, status: 'SUCCEEDED', now }))
      insert(file, 'service', { ...service, id: serviceId, name: `service-${String(n).padStart(5, '0')}`, status: 'RUNNING', latest_pipeline_id: pipelines[2].id, next_pipeline: 4 })
      pipelines.forEach(pipeline => insert(file, 'pipeline', pipeline))
      insert(file, 'environment', { ...environment, id: environmentId, service_id: serviceId, status: 'RUNNING', current_deployment_id: deployments[2], latest_deployment_id: deployments[2], next_revision: 4 })
      deployments.forEach((deployed, at) => insert(file, 'deployment', { ...deployment, id: deployed, service_id: serviceId, environment_id: environmentId, revision: at + 1, status: 'SUCCEEDED', message: null }))
    }
    for (const table of ['deployment', 'environment', 'log_line']) {
      const column = table === 'log_line' ? 'owner_id' : 'service_id'
      if (file.prepare(`SELECT 1 FROM pragma_table_info('${table}') WHERE name = '${column}'`).get()) file.prepare(`DELETE FROM ${table} WHERE ${column} = ?`).run(service.id)
    }
    file.prepare('DELETE FROM service WHERE id = ?').run(service.id)
  })()
  file.pragma('wal_checkpoint(TRUNCATE)')
  file.close()
  return { organizationId }
}

const prepared = new Map()
function insert(file, table, row) {
  const columns = Object.keys(row)
  const key = `${table}:${columns}`
  if (!prepared.has(key)) prepared.set(key, file.prepare(`INSERT INTO ${table} (${columns.map(c => `"${c}"`)}) VALUES (${columns.map(() => '?')})`))
  prepared.get(key).run(columns.map(column => row[column]))
}
