// The clerk's window, for real: the program under a screen of its own, driven through the web view's own driver.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { desktop, freePort, session, until, visible } from './driver.mjs'

const program = process.env.TOWNHALL_DESKTOP ?? join(import.meta.dirname, '../../target/desktop/debug/townhall-desktop')

let screen, page, port, args

before(async () => {
  screen = await desktop()
  mkdirSync(join(screen.home, 'config'), { recursive: true })
  mkdirSync(join(screen.home, 'downloads'))
  writeFileSync(join(screen.home, 'config', 'user-dirs.dirs'), 'XDG_DOWNLOAD_DIR="$HOME/downloads"\n')
  port = await freePort()
  args = ['--data', join(screen.home, 'office'), '--listen', `127.0.0.1:${port}`]
  page = await session(screen, program, args)
})

after(async () => {
  await screen?.end()
})

const health = async () => (await fetch(`http://127.0.0.1:${port}/health`)).status
const press = (...keys) => screen.run('xdotool', ['key', '--clearmodifiers', ...keys])

test('the window shows the office and nothing else', async () => {
  assert.equal(new URL(await page.url()).origin, `http://127.0.0.1:${port}`)
  assert.equal(await health(), 200)
  assert.equal((await visible(screen, 'Townhall')).length, 1)
  await page.script("location.href = 'https://example.org/'")
  await page.script("window.open('https://example.org/')")
  assert.equal(new URL(await page.url()).origin, `http://127.0.0.1:${port}`)
})

test('closed, it goes on serving and says so; a second start shows it again', async () => {
  const [window] = await visible(screen, 'Townhall')
  await screen.run('xdotool', ['windowactivate', '--sync', window, 'key', '--clearmodifiers', 'alt+F4'])
  // The notice stands where the window stood.
  const notice = await until('the notice', async () => (await visible(screen, 'Townhall')).find((one) => one !== window))
  assert.equal((await visible(screen, 'Townhall')).length, 1)
  assert.equal(await health(), 200)
  await screen.run('xdotool', ['windowactivate', '--sync', notice])
  await press('Return')
  await until('the notice read', async () => (await visible(screen, 'Townhall')).length === 0)
  assert.equal(await health(), 200)

  const second = await screen.run(program, args)
  assert.equal(second.code, 0, second.said)
  await until('the window again', async () => (await visible(screen, 'Townhall')).includes(window))
})

test('it says only once that it goes on', async () => {
  const [window] = await visible(screen, 'Townhall')
  await screen.run('xdotool', ['windowactivate', '--sync', window, 'key', '--clearmodifiers', 'alt+F4'])
  await until('the window away', async () => (await visible(screen, 'Townhall')).length === 0)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  assert.equal((await visible(screen, 'Townhall')).length, 0)
  assert.equal(await health(), 200)
  await screen.run(program, args)
  await until('the window again', async () => (await visible(screen, 'Townhall')).includes(window))
})
