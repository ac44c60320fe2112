// What a colleague typed while the office was away: leaving asks, and only they can send it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import * as t from './town.mjs'

const TYPED = ' Hors ligne.'
const markdown = (title, words) => {
  const buffer = Buffer.from(`# ${title}\n\n${words}\n`)
  return { name: `${title}.md`, mimeType: 'text/markdown', buffer }
}

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

/** A line to the texts that can be cut, while the rest of the office answers. */
async function cuttable(context) {
  const line = { cut: false, sockets: [] }
  await context.routeWebSocket(/\/hocuspocus/, (socket) => {
    if (line.cut) return socket.close()
    line.sockets.push([socket, socket.connectToServer()])
  })
  line.break = async () => {
    line.cut = true
    for (const side of line.sockets.splice(0).flat()) await side.close().catch(() => undefined)
  }
  return line
}

const row = (page, title) => page.locator('.row', { hasText: title })
const databases = (page) => page.evaluate(async () => (await indexedDB.databases()).map((one) => one.name))

async function noBarrier(page) {
  await page.waitForTimeout(250) // what changes its colour slowly has changed it
  const { violations } = await new AxeBuilder({ page }).analyze()
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target)}`), [])
}

async function openFromList(page, title) {
  await row(page, title).getByRole('link').first().click()
  await page.waitForURL('**/records/*')
}

test('leaving asks while something is unsent, and nobody else sends it', async () => {
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)
  const ids = {}
  for (const title of ['Feux', 'Bruit']) {
    await host.page.goto(`${town.here}/records`)
    ids[title] = await t.importFile(host.page, markdown(title, `Texte sur ${title}`))
  }
  const { context, page } = await t.person(browser)
  const line = await cuttable(context)
  await t.joins(town, page, code, 'Ann')
  await openFromList(page, 'Bruit')
  await t.pillSays(page, 'saved')
  await page.getByRole('link', { name: 'All records' }).click()
  await page.waitForURL('**/records')
  await page.waitForFunction(() => document.activeElement?.id === 'main')
  await openFromList(page, 'Feux')
  await t.pillSays(page, 'saved')
  await line.break()
  await t.cursorAfter(page, 'Texte sur Feux')
  await page.keyboard.type(TYPED)
  await t.pill(page).filter({ hasText: `${TYPED.length} changes kept on this device` }).waitFor()

  const dialog = page.getByRole('dialog')
  await page.getByRole('link', { name: 'All records' }).click()
  await dialog.filter({ hasText: 'Leave this record?' }).waitFor()
  await noBarrier(page)
  await dialog.getByRole('button', { name: 'Stay here' }).click()
  await dialog.waitFor({ state: 'hidden' })
  await t.textHolds(page, TYPED.trim())
  await page.getByRole('link', { name: 'All records' }).click()
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
  assert.match(page.url(), /records\/./)
  await page.getByRole('link', { name: 'All records' }).click()
  await dialog.getByRole('button', { name: 'Leave anyway' }).click()
  await page.waitForURL('**/records')
  await row(page, 'Feux').getByText('not sent yet').waitFor()
  await noBarrier(page)
  assert.equal(await row(page, 'Bruit').getByText('not sent yet').count(), 0)

  await page.getByRole('button', { name: 'Leave' }).click()
  await dialog.filter({ hasText: 'Leave before everything is sent?' }).waitFor()
  await dialog.getByRole('button', { name: 'Leave anyway' }).click()
  await page.waitForURL('**/join')
  for (let tries = 0; tries < 50 && (await databases(page)).length > 1; tries += 1) await page.waitForTimeout(100)
  const left = await databases(page)
  assert.equal(left.length, 1, 'what the office has all of does not stay on the device')
  assert.match(left[0], new RegExp(`/record:${ids.Feux}$`))

  line.cut = false
  await t.joins(town, page, code, 'Ben')
  await row(page, 'Feux').waitFor()
  assert.equal(await page.getByText('not sent yet').count(), 0, 'it is not Ben’s')
  await openFromList(page, 'Feux')
  await t.pillSays(page, 'saved')
  await t.textHolds(page, 'Texte sur Feux')
  assert.equal(await page.getByRole('button', { name: 'They are mine' }).count(), 0)
  assert.doesNotMatch(await t.text(page).innerText(), /Hors ligne/)
  const exported = async () => (await host.context.request.get(`${town.here}/api/v1/records/${ids.Feux}/export`)).text()
  assert.doesNotMatch(await exported(), /Hors ligne/)

  // Ben has nothing unsent, and is not asked
  await page.getByRole('button', { name: 'Leave' }).click()
  await page.waitForURL('**/join')
  await t.joins(town, page, code, 'Ann')
  await row(page, 'Feux').getByText('not sent yet').waitFor()
  await openFromList(page, 'Feux')
  await page.getByRole('button', { name: 'They are mine, send them' }).click()
  await t.textHolds(page, TYPED.trim())
  await t.pillSays(page, 'saved')
  await page.getByRole('link', { name: 'All records' }).click()
  await row(page, 'Feux').waitFor()
  assert.equal(await page.getByText('not sent yet').count(), 0)
  assert.equal((await exported()).split(TYPED.trim()).length, 2, 'once')
})
