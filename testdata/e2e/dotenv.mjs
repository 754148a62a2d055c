// Prints what npm's dotenv and Node's own reader read from each file in a folder.
import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import dotenv from 'dotenv'

const [folder, count] = process.argv.slice(2)
const results = { npm: [], node: [] }
for (let i = 0; i < count; i++) {
  const text = readFileSync(`${folder}/${i}.env`, 'utf8')
  results.npm.push(dotenv.parse(text))
  results.node.push(parseEnv(text))
}
process.stdout.write(JSON.stringify(results))
