// One office on one folder: what a second start, a taken folder, a bad file and Quit do.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { desktop, freePort, program, sleep, until, visible } from './driver.mjs'

/** A program that cannot find the first one by asking on the session bus, as on a desktop that has none. */
const WITHOUT_BUS = { env: { DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere' } }

let screen, office, port, data

before(async () => {
  screen = await desktop()
  port = await freePort()
  data = join(screen.home, 'office')
})

after(async () => {
  await screen?.end()
})

const health = () => fetch(`http://127.0.0.1:${port}/health`).then((answer) => answer.status, () => 0)
const windows = () => visible(screen, 'Townhall')

/** Starts the program, reads its notice away, and says what it said and how it ended. */
async function refused(args, extra) {
  const child = screen.start(program, args, extra)
  const ended = once(child, 'exit')
  const [notice] = await until('a notice', async () => {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${child.said}`)
    const found = await windows()
    return found.length > 0 && found
  })
  await screen.run('xdotool', ['windowactivate', '--sync', notice, 'key', '--clearmodifiers', 'Return'])
  const [code] = await ended
  return { code, said: child.said }
}

test('started hidden, it serves without a window', async () => {
  office = screen.start(program, ['--hidden', '--data', data, '--listen', `127.0.0.1:${port}`])
  await until('the office', async () => (await health()) === 200)
  await sleep(1_000)
  assert.deepEqual(await windows(), [])
})

test('a second program on the same folder says so and ends with 3', async () => {
  const { code, said } = await refused(['--data', data, '--listen', `127.0.0.1:${await freePort()}`], WITHOUT_BUS)
  assert.equal(code, 3, said)
  assert.match(said, /Another Townhall already uses the folder/)
  const samePort = await refused(['--data', data, '--listen', `127.0.0.1:${port}`], WITHOUT_BUS)
  assert.equal(samePort.code, 3, samePort.said)
  assert.equal(await health(), 200)
})

test('a taken port and a file that is not understood are said in plain words', async () => {
  const taken = await refused(['--data', join(screen.home, 'other'), '--listen', `127.0.0.1:${port}`], WITHOUT_BUS)
  assert.equal(taken.code, 1, taken.said)
  assert.match(taken.said, new RegExp(`port ${port}`))

  mkdirSync(join(screen.home, 'third'))
  writeFileSync(join(screen.home, 'third', 'townhall.yml'), 'realtime:\n  prot: 3001\n')
  const bad = await refused(['--data', join(screen.home, 'third')], WITHOUT_BUS)
  assert.equal(bad.code, 2, bad.said)
  assert.match(bad.said, /line 2: prot/)
})

test('a second start shows the window, and Quit ends it in order', async () => {
  const second = await screen.run(program, ['--data', data])
  assert.equal(second.code, 0, second.said)
  await until('the window', async () => (await windows()).length === 1)

  const ended = once(office, 'exit')
  const quit = await screen.run(program, ['--quit'])
  assert.equal(quit.code, 0, quit.said)
  const [code] = await ended
  assert.equal(code, 0, office.said)
  assert.match(office.said, /stopped/)
  assert.equal(await health(), 0)
  const places = join(screen.home, 'config', 'org.townhall.desktop', '.window-state.json')
  assert.ok(existsSync(places), 'the window comes back where it was')
})

test('the end of the session ends it in order', async () => {
  office = screen.start(program, ['--data', data, '--listen', `127.0.0.1:${port}`])
  await until('the window', async () => (await windows()).length === 1)
  const ended = once(office, 'exit')
  office.kill('SIGTERM')
  const [code] = await ended
  assert.equal(code, 0, office.said)
  assert.match(office.said, /stopped/)
})
