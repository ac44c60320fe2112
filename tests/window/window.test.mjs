// The clerk's window, for real: the program under a screen of its own, driven through the web view's own driver.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { desktop, freePort, program, session, sleep, until, visible } from './driver.mjs'

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

const ENTER = '\ue007'
/** Pictures for people to look at, where somebody asked for them. */
const keep = async (name) => {
  if (process.env.SHOTS) await screen.run('import', ['-window', 'root', join(process.env.SHOTS, `window-${name}.png`)])
}
const health = async () => (await fetch(`http://127.0.0.1:${port}/health`)).status
const press = (...keys) => screen.run('xdotool', ['key', '--clearmodifiers', ...keys])

/** Closes the window as a person does; a key pressed while the desktop is busy may be lost, so it is pressed again. */
const close = (window) =>
  until('the window away', async () => {
    await screen.run('xdotool', ['windowactivate', '--sync', window, 'key', '--clearmodifiers', 'alt+F4'])
    await sleep(500)
    return !(await visible(screen, 'Townhall')).includes(window)
  }, { everyMs: 2_000 })

test('the window shows the office and nothing else', async () => {
  assert.equal(new URL(await page.url()).origin, `http://127.0.0.1:${port}`)
  assert.equal(await health(), 200)
  assert.equal((await visible(screen, 'Townhall')).length, 1)
  await page.script("location.href = 'https://example.org/'")
  await page.script("window.open('https://example.org/')")
  assert.equal(new URL(await page.url()).origin, `http://127.0.0.1:${port}`)
})

test('the clerk shares: address, QR code and a code in two groups', async () => {
  await until('the start screen', () => page.find('[role=switch]'))
  await page.click('[role=switch]')
  await until('the code', async () => /^[A-Z0-9]{4}-[A-Z0-9]{4}$/.test(await page.script("return document.querySelector('.code [aria-hidden]')?.textContent.trim() ?? ''")))
  const drawn = await page.script("const b = document.querySelector('.qr svg path').getBBox(); return [b.width, b.height]")
  assert.ok(drawn[0] >= 21 && drawn[0] === drawn[1], `a square of modules: ${drawn}`)
  assert.match(await page.text('.address'), new RegExp(`^http://[0-9.]+:${port}$`))
  await keep('start')
})

test('a record is opened and keeps accents as they are typed', async () => {
  await page.click('main .button-main')
  await until('the form', () => page.find('#new-title'))
  await page.type('#new-title', 'Arrêté nº 12')
  await page.click('button[form=new-record]')
  await until('the text', () => page.find('#text'))
  await until('the record to be here', async () => (await page.script("return document.querySelector('[data-testid=pill]').dataset.state")) === 'saved')
  await page.type('#text', 'Été à Forêt-Noire — größer, œuvre')
  await page.type('#text', ENTER + 'La séance est levée.')
  await until('the text on disk', async () => (await page.script("return document.querySelector('[data-testid=pill]').dataset.state")) === 'saved')
  const id = new URL(await page.url()).pathname.split('/').at(-1)
  const token = readFileSync(join(screen.home, 'office', 'admin.token'), 'utf8').trim()
  const exported = await until('the export', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/records/${id}/export`, { headers: { authorization: `Bearer ${token}` } })
    const text = await answer.text()
    return text.includes('levée') && text
  })
  assert.match(exported, /Été à Forêt-Noire — größer, œuvre\n\nLa séance est levée\./)
  await keep('record')

  await page.click('a[download]')
  const downloads = join(screen.home, 'downloads')
  const file = await until('the file among the downloads', () => readdirSync(downloads).find((name) => name.endsWith('.md')))
  assert.equal(readFileSync(join(downloads, file), 'utf8'), exported)
  assert.match(await page.url(), /\/records\//, 'the record is still open')
})

test('closed, it goes on serving and says so; a second start shows it again', async () => {
  const [window] = await visible(screen, 'Townhall')
  await close(window)
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
  await close(window)
  await until('the window away', async () => (await visible(screen, 'Townhall')).length === 0)
  await sleep(1_000)
  assert.equal((await visible(screen, 'Townhall')).length, 0)
  assert.equal(await health(), 200)
  await screen.run(program, args)
  await until('the window again', async () => (await visible(screen, 'Townhall')).includes(window))
})

test('the host is let in again where the login has ended', async () => {
  const path = async () => new URL(await page.url()).pathname
  // Twice: the second time, the page that is left is one that the window was let in to.
  for (const round of ['first', 'second']) {
    await page.script("void fetch('/api/v1/auth/logout', { method: 'POST' }).then(() => location.assign('/records'))")
    await until('the page that asks for a code', async () => (await path()) === '/join')
    const second = await screen.run(program, args)
    assert.equal(second.code, 0, second.said)
    await until(`the host's own page, the ${round} time`, () => page.find('[role=switch]'))
    assert.equal(await path(), '/')
    assert.doesNotMatch(await page.url(), /once=/, 'the word is out of the address')
  }
})
