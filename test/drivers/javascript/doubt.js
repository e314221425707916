// The doubt program for the JavaScript driver, 1.7 and later; package drivers says what such a program does. argv: the folder that has the
// driver in node_modules, then the arguments.

'use strict'

const { createRequire } = require('module')
const path = require('path')

const neo4jModule = createRequire(path.join(process.argv[2], 'package.json'))('neo4j-driver')
const neo4j = neo4jModule.v1 || neo4jModule // 1.7 keeps its API under v1
const isOld = Boolean(neo4jModule.v1)

const args = {}
for (let i = 3; i + 1 < process.argv.length; i += 2) args[process.argv[i].replace(/^-+/, '')] = process.argv[i + 1]

const driver = neo4j.driver(args.uri, neo4j.auth.basic(args.user, args.password), Object.assign(
  { connectionTimeout: 5000, maxTransactionRetryTime: 10000 }, isOld ? { encrypted: 'ENCRYPTION_OFF' } : {}))

async function doOne (mark) {
  let attempts = 0
  const params = () => ++attempts > 1 ? { mark } : { mark, close: args.close }
  const text = 'CREATE (n:Doubt {mark: $mark})'
  const session = driver.session()
  const write = session.executeWrite || session.writeTransaction
  let error = ''
  try {
    if (args.work === 'auto') await session.run(text, params())
    else await write.call(session, tx => tx.run(text, params()))
  } catch (e) {
    error = `${e.code || e.name}`
  }
  process.stdout.write(JSON.stringify({ mark, attempts, error }) + '\n')
  await session.close()
}

async function main () {
  const count = Number(args.count || 1)
  for (let i = 1; i <= count; i++) await doOne(count === 1 ? args.mark : `${args.mark}/${i}`)
  await driver.close()
}

main().catch(e => { console.error(e); process.exit(2) })
