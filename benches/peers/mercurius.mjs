// The same list as others would serve it: Fastify with mercurius, its JIT, and better-sqlite3, in one statement.
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import mercurius from 'mercurius'

const { FILE, ORGANIZATION, PORT } = process.env
const file = new Database(FILE, { readonly: true })
const list = file.prepare(`
  SELECT s.id, s.name, p.id AS pipeline_id, p.status AS pipeline_status, d.id AS deployment_id, d.status AS deployment_status,
         r.id AS runtime_id, r.name AS runtime_name
  FROM service s
  LEFT JOIN environment e ON e.service_id = s.id AND e.name = 'production'
  LEFT JOIN pipeline p ON p.id = s.latest_pipeline_id
  LEFT JOIN deployment d ON d.id = e.latest_deployment_id
  LEFT JOIN runtime r ON r.id = coalesce(e.runtime_id, s.runtime_id)
  WHERE s.organization_id = ? ORDER BY s.name LIMIT ?`)
const id = (kind, row) => Buffer.from(`${kind}:${row}`).toString('base64url')

const schema = `
  type Query { services(first: Int = 20): ServiceConnection }
  type ServiceConnection { nodes: [Service!]! }
  type Service { id: ID! name: String! latestPipeline: Pipeline latestDeployment: Deployment runtime: Runtime }
  type Pipeline { id: ID! status: String! }
  type Deployment { id: ID! status: String! }
  type Runtime { id: ID! name: String! }`
const resolvers = {
  Query: {
    services: (_, { first }) => ({
      nodes: list.all(ORGANIZATION, first).map(row => ({
        id: id('Service', row.id), name: row.name,
        latestPipeline: row.pipeline_id && { id: id('Pipeline', row.pipeline_id), status: row.pipeline_status },
        latestDeployment: row.deployment_id && { id: id('Deployment', row.deployment_id), status: row.deployment_status },
        runtime: row.runtime_id && { id: id('Runtime', row.runtime_id), name: row.runtime_name },
      })),
    }),
  },
}
const app = Fastify()
app.register(mercurius, { schema, resolvers, jit: 1 })
await app.listen({ port: Number(PORT), host: '127.0.0.1' })
