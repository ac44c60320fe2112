// While the office's computer is away: who leaves has left, and a click never ends at the browser's own error page.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

/** Who is logged in is kept a moment later than texts are: a login of the last moment may have to be repeated after a crash. */
const LOGIN_KEPT_MS = 1_500

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

async function officeWithRecord() {
  const host = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)
  const made = await host.context.request.post(`${town.here}/api/v1/records`, { data: { title: 'Feux', type: 'bylaw' }, headers: { origin: town.here } })
  return { host, code, record: (await made.json()).record.id }
}

test('who leaves while the office is away is signed out before the next one is asked for a name', async () => {
  const { code } = await officeWithRecord()
  const { page, context } = await t.person(browser)
  await t.joins(town, page, code, 'Ann')
  let away = true
  await context.route('**/api/v1/auth/logout', (route) => (away ? route.abort() : route.continue()))
  await page.getByRole('button', { name: 'Leave' }).click()
  await page.waitForURL('**/join')
  const told = page.getByRole('alert').filter({ hasText: 'You have left, but the office\'s computer does not know yet' })
  await told.waitFor()
  await page.goto(`${town.lan}/records`)
  await told.waitFor()
  assert.match(page.url(), /\/join/, 'the next one here is not Ann')
  away = false
  await page.getByRole('button', { name: 'Try again' }).click()
  await told.waitFor({ state: 'detached' })
  assert.equal((await context.request.get(`${town.lan}/api/v1/auth/me`)).status(), 401)
  await t.joins(town, page, code, 'Ben')
  await page.getByText('You are Ben').waitFor()
})

test('the list of records opens from an open record while the office is away', async () => {
  const { host, record } = await officeWithRecord()
  const { page, context } = await t.person(browser)
  await context.addCookies(await host.context.cookies())
  const loaded = page.waitForResponse(/\/assets\/Records-[^/]*\.js$/)
  await page.goto(`${town.here}/records/${record}`)
  await t.pillSays(page, 'saved')
  await loaded
  await page.waitForLoadState('networkidle').catch(() => undefined)
  await page.waitForTimeout(LOGIN_KEPT_MS)
  await town.kill('SIGKILL')
  await t.pillSays(page, 'offline')
  await page.getByRole('link', { name: 'All records' }).click()
  await page.waitForURL('**/records')
  await page.getByRole('alert').filter({ hasText: 'The office\'s computer does not answer.' }).waitFor()
  await town.start()
})

test('a screen whose code does not arrive is said, and opened once the office answers', async () => {
  const { host } = await officeWithRecord()
  const { page, context } = await t.person(browser)
  await context.addCookies(await host.context.cookies())
  await page.goto(`${town.here}/records`)
  await page.getByRole('heading', { name: 'Records' }).waitFor()
  let away = true
  await context.route(/\/assets\/Start-[^/]*\.js$|\/api\/v1\/office$/, (route) => (away ? route.abort() : route.continue()))
  await page.getByRole('link', { name: 'Start', exact: true }).click()
  const said = page.getByRole('alert').filter({ hasText: 'This screen could not be opened.' })
  await said.waitFor()
  const retry = said.getByRole('button', { name: 'Try again' })
  await retry.click()
  await page.waitForFunction(() => document.querySelector('[role=alert] button')?.disabled === false)
  await page.getByRole('heading', { name: 'Records' }).waitFor()
  away = false
  await retry.click()
  await page.getByRole('switch').waitFor()
})

test('a letter of the code is mended where it stands', async () => {
  const { page } = await t.person(browser)
  await page.goto(`${town.lan}/join`)
  const field = page.locator('#code')
  await field.pressSequentially('ABCDEFGH')
  assert.equal(await field.inputValue(), 'ABCD-EFGH')
  for (let step = 0; step < 7; step += 1) await page.keyboard.press('ArrowLeft')
  await page.keyboard.press('Backspace')
  await page.keyboard.type('X')
  assert.equal(await field.inputValue(), 'AXCD-EFGH')
  await page.keyboard.press('Backspace')
  await page.keyboard.press('Backspace')
  await page.keyboard.type('23')
  assert.equal(await field.inputValue(), '23CD-EFGH')
})
