// What the host looks after: what is going on, in true figures, and the central server.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AxeBuilder } from '@axe-core/playwright'
import * as t from './town.mjs'

/** Logins are on disk a moment later than they are answered. */
const LOGIN_KEPT_MS = 1_500
const POLL_MS = 2_000
const PASSWORD = 'canary-of-the-page'

let town, browser
const running = []
before(async () => {
  ;({ town, browser } = await t.openBoth())
})
afterEach(() => running.splice(0).forEach((child) => child.kill('SIGKILL')))
after(() => t.closeBoth({ town, browser }))

async function hasNoBarrier(page) {
  const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze()
  assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target)}`), [])
}
const figure = (page, name) => page.locator(`[data-figure=${name}]`)
const figureIs = (page, name, text) => figure(page, name).filter({ hasText: new RegExp(`^\\s*${text}\\b`) }).waitFor()
const sum = async (page, name) => Number(await figure(page, name).getAttribute('data-sum'))
const publish = (host, at, message) =>
  host.context.request.post(`${at.here}/api/v1/channels`, { data: { channel: '/records', message }, headers: { origin: at.here } })

test('the host sees who is where and what passes through, and a colleague is told that he may not', async () => {
  const host = await t.person(browser)
  const colleague = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)
  const made = await host.context.request.post(`${town.here}/api/v1/records`, { data: { title: 'Budget', type: 'bylaw' }, headers: { origin: town.here } })
  const { record } = await made.json()
  await host.page.goto(`${town.here}/office/activity`)
  await figureIs(host.page, 'in_documents', '0')
  await host.page.getByText('Nobody has a record open.').waitFor()

  await t.joins(town, colleague.page, code, 'Ann Roy')
  await colleague.page.goto(`${town.lan}/office/activity`)
  await colleague.page.getByRole('heading', { name: 'This page is for the host' }).waitFor()
  assert.equal(await colleague.page.getByRole('link', { name: 'Manage' }).count(), 0)
  await hasNoBarrier(colleague.page)
  assert.equal(colleague.asked.filter((url) => url.includes('/api/v1/activity')).length, 0)
  await colleague.page.goto(`${town.lan}/records/${record.id}`)
  await t.pillSays(colleague.page, 'saved')
  await figureIs(host.page, 'in_documents', '1')
  const room = host.page.locator(`[data-room="record:${record.id}"]`)
  await room.getByRole('link', { name: 'Budget' }).waitFor()
  await room.getByText('Ann Roy').waitFor()

  const listener = await host.context.newPage()
  await listener.goto(`${town.here}/office/demo`)
  await listener.locator('[data-testid=live][data-state=connected]').nth(1).waitFor()
  await figureIs(host.page, 'in_channels', '2')
  await host.page.locator('[data-room="group-1"]').getByText('one person').waitFor()
  const before = await sum(host.page, 'sent')
  for (let number = 0; number < 30; number++) await publish(host, town, { room: 'group-1', records: { events: [{ id: number }] } })
  await host.page.waitForFunction((old) => Number(document.querySelector('[data-figure=sent]').dataset.sum) >= old + 30, before)
  await host.page.waitForFunction(() => parseFloat(document.querySelector('[data-figure=sent]').textContent) > 0)
  await fetch(`${town.here}/`, { headers: { origin: 'http://evil.example' }, method: 'POST' })
  await host.page.getByTestId('refused').getByText('From a web page of another place').waitFor()

  // Nobody looks: nothing is asked.
  await host.page.evaluate(() => Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' }))
  await sleep(POLL_MS / 2)
  const asked = () => host.asked.filter((url) => url.includes('/api/v1/activity')).length
  const then = asked()
  await sleep(2 * POLL_MS)
  assert.equal(asked(), then)
  await host.page.evaluate(() => delete document.visibilityState)
  await host.page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')))

  await sleep(LOGIN_KEPT_MS)
  await listener.close()
  await colleague.context.close()
  await town.kill('SIGTERM')
  await host.page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor()
  await host.page.getByText('This page goes on trying.').waitFor()
  await hasNoBarrier(host.page)
  await town.start()
  await host.page.getByRole('alert').waitFor({ state: 'detached' })
  await figureIs(host.page, 'in_documents', '0')
  assert.deepEqual(t.strangers([...host.asked, ...colleague.asked], town), [])
})

async function redis(port) {
  const child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--requirepass', PASSWORD], { stdio: 'ignore' })
  running.push(child)
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const answered = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false)
    socket.destroy()
    if (answered) return child
    await sleep(20)
  }
}

const absent = spawnSync('redis-server', ['--version']).error !== undefined
const central = (page, state) => page.locator(`[data-testid=bus][data-state=${state}]`).waitFor()
const told = (page, words) => page.getByTestId('told').filter({ hasText: words }).waitFor()

async function fill(page, url, password) {
  await page.getByLabel('Address').fill(url)
  await page.getByLabel('Password').fill(password)
}

test('a wrong address of the central server is told in plain words', async () => {
  const host = await t.person(browser)
  const { page } = host
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  await page.goto(`${town.here}/office/central`)
  await page.getByText('This office works by itself.').waitFor()
  await page.getByRole('button', { name: 'Test' }).click()
  await page.getByRole('alert').filter({ hasText: 'Type an address.' }).waitFor()
  await fill(page, 'http://example.org', '')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').filter({ hasText: 'This is not an address of a Redis server.' }).waitFor()
  await fill(page, `redis://127.0.0.1:${await t.freePort()}`, '')
  await page.getByRole('button', { name: 'Test' }).click()
  await told(page, 'Nobody answers at this address.')
  await page.getByText('This office works by itself.').waitFor()
  assert.deepEqual(t.strangers(host.asked, town), [])
})

test('a real Redis is tested, chosen, lost, found again and left', { skip: absent && 'redis-server is not installed (Debian package redis-server)' }, async () => {
  const host = await t.person(browser)
  const { page } = host
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  await page.goto(`${town.here}/office/central`)
  const port = await t.freePort()
  const server = await redis(port)
  await fill(page, `redis://127.0.0.1:${port}`, 'wrong')
  await page.getByRole('button', { name: 'Test' }).click()
  await told(page, 'The server refuses the user name or the password.')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Test' }).click()
  await told(page, 'The server answers and lets this office in.')
  await page.getByRole('button', { name: 'Save' }).click()
  await central(page, 'good')
  assert.equal(await page.getByLabel('Password').inputValue(), '')
  await page.getByText('A password is kept. Leave this empty to keep it.').waitFor()
  await page.reload()
  await central(page, 'good')
  assert.ok(!(await page.content()).includes(PASSWORD))

  // The town's other pages hear nothing of a try-out.
  const tryOut = await host.context.newPage()
  await tryOut.goto(`${town.here}/office/demo`)
  await tryOut.getByText('only your own windows hear it').waitFor()
  await tryOut.locator('[data-testid=live][data-state=connected]').nth(1).waitFor()
  const posting = tryOut.waitForRequest('**/api/v1/channels')
  await tryOut.getByRole('button', { name: 'Post', exact: true }).click()
  assert.match((await posting).postDataJSON().message.room, /^user-\d+$/)
  await tryOut.getByTestId('arrived').nth(1).waitFor()
  await tryOut.close()

  server.kill('SIGKILL')
  await central(page, 'bad')
  assert.equal((await (await publish(host, town, { room: 'group-1' })).json()).forwarded, true)
  await figureIs(page, 'waiting', '1')
  await page.getByText('will not be made up for').waitFor()
  await redis(port)
  await central(page, 'good')
  await figureIs(page, 'waiting', '0')
  await page.getByText('The central server was away from').waitFor()

  await page.getByRole('button', { name: 'Work without Redis' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Work without Redis' }).click()
  await central(page, 'idle')
  assert.equal(await page.getByLabel('Address').inputValue(), '')
})

test('what was given at the start is shown and cannot be changed by the page', async () => {
  const fixed = await t.Town.open({ env: { REDIS_URL: `redis://:${PASSWORD}@127.0.0.1:${await t.freePort()}` } })
  try {
    const host = await t.person(browser)
    await t.hostLogsIn(fixed, host.page)
    await host.page.goto(`${fixed.here}/office/central`)
    await central(host.page, 'bad')
    await host.page.getByText('It can only be changed there.').waitFor()
    assert.equal(await host.page.getByLabel('Address').isEditable(), false)
    assert.equal(await host.page.getByRole('button', { name: 'Save' }).count(), 0)
    assert.ok(!(await host.page.content()).includes(PASSWORD))
  } finally {
    await fixed.close()
  }
})
