// Cuts out of GitHub's published OpenAPI description (npm's @octokit/openapi, a file of 13 MB)
// what fob asks for, without the prose:
//
//   node openapi.mjs package/generated/api.github.com.json >github-openapi.json
import { readFileSync } from 'node:fs'

const paths = [
  '/repos/{owner}/{repo}/actions/secrets/public-key',
  '/repos/{owner}/{repo}/actions/secrets/{secret_name}',
  '/repos/{owner}/{repo}/environments/{environment_name}/secrets/public-key',
  '/repos/{owner}/{repo}/environments/{environment_name}/secrets/{secret_name}',
  '/orgs/{org}/actions/secrets/public-key',
  '/orgs/{org}/actions/secrets/{secret_name}',
  '/orgs/{org}/actions/secrets/{secret_name}/repositories',
]
const methods = ['get', 'put']
const prose = new Set(['description', 'summary', 'title', 'tags', 'externalDocs', 'example', 'examples', 'operationId'])

const whole = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const components = {}

// cut copies a part of the description, and takes along what it refers to.
function cut(part, isProperties) {
  if (Array.isArray(part)) return part.map((item) => cut(item))
  if (part === null || typeof part !== 'object') return part
  if (part.$ref) {
    const [, , kind, name] = part.$ref.split('/')
    components[kind] ??= {}
    if (!(name in components[kind])) {
      components[kind][name] = {}
      components[kind][name] = cut(whole.components[kind][name])
    }
    return { $ref: part.$ref }
  }
  return Object.fromEntries(Object.entries(part)
    .filter(([name]) => isProperties || (!prose.has(name) && !name.startsWith('x-')))
    .map(([name, value]) => [name, cut(value, name === 'properties' && !isProperties)]))
}

const out = { openapi: whole.openapi, info: { title: '', version: whole.info.version }, paths: {} }
for (const path of paths) {
  out.paths[path] = {}
  for (const method of methods) {
    const operation = whole.paths[path][method]
    if (operation) out.paths[path][method] = cut(operation)
  }
}
for (const path of Object.values(out.paths)) {
  for (const operation of Object.values(path)) {
    for (const response of Object.values(operation.responses)) response.description ??= ''
  }
}
out.components = components
console.log(JSON.stringify(out, null, 1))
