// The smoke program for the JavaScript driver, 1.7 and later; package drivers says what such a program does. argv: the folder that has the
// driver in node_modules, then the arguments.

'use strict'

const { createRequire } = require('module')
const path = require('path')

const folder = process.argv[2]
const neo4jModule = createRequire(path.join(folder, 'package.json'))('neo4j-driver')
const neo4j = neo4jModule.v1 || neo4jModule // 1.7 keeps its API under v1
const isOld = Boolean(neo4jModule.v1)

const args = {}
for (let i = 3; i + 1 < process.argv.length; i += 2) args[process.argv[i].replace(/^-+/, '')] = process.argv[i + 1]
const mark = args.mark
const CREATE = 'CREATE (s:Smoke {mark: $mark})'
const COUNT = 'MATCH (s:Smoke {mark: $mark}) RETURN count(s)'

// 1.7 tells the version that it speaks nowhere but in its log.
let negotiated
function listen (level, message) {
  const found = /negotiated protocol version (\d+)/.exec(message)
  if (found) negotiated = Number(found[1])
}

const driver = neo4j.driver(args.uri, neo4j.auth.basic(args.user, args.password), Object.assign(
  { connectionTimeout: 5000, maxTransactionRetryTime: 10000, connectionAcquisitionTimeout: 10000 },
  isOld ? { encrypted: 'ENCRYPTION_OFF', logging: { level: 'debug', logger: listen } } : {}))

const session = mode => isOld ? driver.session(mode || neo4j.session.WRITE) : driver.session({ defaultAccessMode: mode || neo4j.session.WRITE })

let ok = true
async function step (name, f) {
  const begun = Date.now()
  const line = { step: name, ok: true }
  try {
    const detail = await f()
    if (detail) line.detail = detail
  } catch (e) {
    ok = line.ok = false
    line.error = `${e.code || e.name}: ${e.message}`
  }
  line.ms = Date.now() - begun
  process.stdout.write(JSON.stringify(line) + '\n')
}

async function withSession (f, mode) {
  const s = session(mode)
  try {
    return await f(s)
  } finally {
    await s.close()
  }
}

async function count (runner) {
  return (await runner.run(COUNT, { mark })).records[0].get(0).toNumber()
}

function same (got, want, what) {
  if (got !== want) throw new Error(`${got} ${what}, not ${want}`)
}

async function connect () {
  return withSession(async s => {
    const server = (await s.run('RETURN 1')).summary.server
    const version = server.protocolVersion === undefined ? negotiated : server.protocolVersion
    const text = typeof version === 'object' ? `${version.major}.${version.minor}` : Number(version).toFixed(1)
    return `${server.agent || server.version} over Bolt ${text}`
  }, neo4j.session.READ)
}

async function read () {
  return withSession(async s => {
    const result = await s.run('UNWIND range(1, 1000) AS n RETURN n, $echo AS echo', { echo: ['a', neo4j.int(1), 2.5, true, null] })
    let sum = 0
    for (const record of result.records) {
      sum += record.get('n').toNumber()
      const echo = record.get('echo')
      if (echo.length !== 5 || echo[0] !== 'a' || echo[2] !== 2.5) throw new Error('echo came back as ' + echo)
    }
    same(sum, 500500, 'is the sum of the rows')
  }, neo4j.session.READ)
}

async function write () {
  return withSession(async s => {
    const counters = (await s.run(CREATE, { mark })).summary.counters
    same(isOld ? counters.nodesCreated() : counters.updates().nodesCreated, 1, 'nodes created')
    same(await count(s), 1, 'nodes')
  })
}

const transaction = (end, inside, after) => () => withSession(async s => {
  const tx = await s.beginTransaction()
  await tx.run(CREATE, { mark })
  same(await count(tx), inside, 'nodes inside the transaction')
  await end(tx)
  same(await count(s), after, 'nodes')
})

async function failure () {
  return withSession(async s => {
    let code = 'no error'
    try {
      await s.run('THIS IS NOT CYPHER')
    } catch (e) {
      code = e.code
    }
    if (!code.endsWith('.SyntaxError')) throw new Error('a syntax error came back as ' + code)
    same(await count(s), 2, 'nodes')
  })
}

async function reset () {
  const s = session()
  await (isOld ? tenRows17(s) : tenRows(s))
  await s.close() // 1.7 sends RESET here
  return withSession(async s => same(await count(s), 2, 'nodes'))
}

const BIG = 'UNWIND range(1, 100000) AS n RETURN n'

async function tenRows (s) {
  let rows = 0
  for await (const _ of s.run(BIG)) {
    if (++rows === 10) return
  }
  throw new Error('no ten rows')
}

function tenRows17 (s) {
  return new Promise((resolve, reject) => {
    let rows = 0
    s.run(BIG).subscribe({
      onNext: () => { if (++rows === 10) resolve() },
      onError: e => rows < 10 && reject(e), // later ones are the interruption
      onCompleted: () => {}
    })
  })
}

async function managed () {
  return withSession(async s => {
    await (isOld ? s.writeTransaction(tx => tx.run(CREATE, { mark })) : s.executeWrite(tx => tx.run(CREATE, { mark })))
    same(await (isOld ? s.readTransaction(count) : s.executeRead(count)), 3, 'nodes')
  })
}

async function main () {
  await step('connect', connect)
  if (ok) {
    await step('read', read)
    await step('write', write)
    await step('commit', transaction(tx => tx.commit(), 2, 2))
    await step('rollback', transaction(tx => tx.rollback(), 3, 2))
    await step('failure', failure)
    await step('reset', reset)
    await step('managed', managed)
    await step('cleanup', () => withSession(s => s.run('MATCH (s:Smoke {mark: $mark}) DELETE s', { mark }).then(() => {})))
  }
  await driver.close()
  process.exit(ok ? 0 : 1)
}

main()
