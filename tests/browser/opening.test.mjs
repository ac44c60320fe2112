// A record's screen shows the right text or says why it cannot, and goes on from there.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

let town, browser, host, id
before(async () => {
  ;({ town, browser } = await t.openBoth())
  host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  id = await newRecord('Feux')
})
after(() => t.closeBoth({ town, browser }))

async function newRecord(title) {
  await host.page.goto(`${town.here}/records`)
  const buffer = Buffer.from(`# ${title}\n\nTexte sur ${title}\n`)
  return t.importFile(host.page, { name: `${title}.md`, mimeType: 'text/markdown', buffer })
}
/** The host once more, in a browser whose lines a test may cut. */
async function again() {
  const who = await t.person(browser)
  await who.context.addCookies(await host.context.cookies())
  return who
}
const record = (which = id) => `${town.here}/records/${which}`
const looksAgain = (page) => page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')))

test('going back from one record straight to another shows the other’s text', async () => {
  await newRecord('Bruit')
  const { page } = await again()
  await page.goto(`${town.here}/records`)
  for (const title of ['Feux', 'Bruit']) {
    await page.locator('.row', { hasText: title }).getByRole('link').first().click()
    await t.textHolds(page, `Texte sur ${title}`)
    if (title === 'Feux') await page.getByRole('link', { name: 'All records' }).click()
  }
  await page.evaluate(() => history.go(-2))
  await page.waitForURL(`**/records/${id}`)
  await t.textHolds(page, 'Texte sur Feux')
  assert.doesNotMatch(await t.text(page).innerText(), /Bruit/)
  await page.waitForFunction(() => document.title.startsWith('Feux'))
})

test('a part of the page that does not arrive is said, and can be asked for again', async () => {
  const { page, context } = await again()
  const part = /\/assets\/Editor-[^/]*\.js$/
  await context.route(part, (route) => route.abort())
  await page.goto(record())
  await page.getByRole('alert').filter({ hasText: 'A part of this page did not arrive.' }).waitFor()
  await context.unroute(part)
  await page.getByRole('button', { name: 'Try again' }).click()
  await t.pillSays(page, 'saved')
  await t.textHolds(page, 'Texte sur Feux')
})

test('a record that was not there opens when it is', async () => {
  const { page, context } = await again()
  const asked = `**/api/v1/records/${id}`
  await context.route(asked, (route) => route.fulfill({ status: 404, json: { error: { code: 'not_found' } } }))
  await page.goto(record())
  await page.getByRole('heading', { name: 'This record is not here' }).waitFor()
  await context.unroute(asked)
  await looksAgain(page)
  await t.pillSays(page, 'saved')
  await page.goto(record('no-record-at-all'))
  await page.getByRole('heading', { name: 'This record is not here' }).waitFor()
})

/** A refusal as it travels: the text's name, what it is about (who may), that it is a no, and the reason. */
function refused(reason) {
  const string = (text) => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)])
  return Buffer.concat([string(`record:${id}`), Buffer.from([2, 1]), string(reason)])
}

test('why the office does not open a text is said for what it is', async () => {
  const { page, context } = await again()
  let reason = 'unreadable'
  await context.routeWebSocket(/\/hocuspocus/, (socket) => {
    if (reason) socket.onMessage(() => socket.send(refused(reason)))
    else socket.connectToServer()
  })
  await page.goto(record())
  await page.getByRole('alert').filter({ hasText: 'cannot read this record' }).waitFor()
  assert.equal(await page.getByRole('button', { name: 'Join again' }).count(), 0)
  reason = ''
  await page.getByRole('button', { name: 'Try again' }).click()
  await t.pillSays(page, 'saved')
  reason = 'permission-denied'
  await page.reload()
  await page.getByRole('button', { name: 'Join again' }).waitFor()
  reason = 'not-found'
  await page.reload()
  await page.getByRole('heading', { name: 'This record is not here' }).waitFor()
})

test('a title that was not saved stays typed, warns who closes the page, and is sent again when the office answers', async () => {
  const { page, context } = await again()
  let sent = 0
  let away = true
  await context.route(`**/api/v1/records/${id}`, (route) => {
    if (route.request().method() !== 'PATCH') return route.continue()
    sent += 1
    return away ? route.abort() : route.continue()
  })
  await page.goto(record())
  await t.pillSays(page, 'saved')
  const title = page.getByRole('textbox', { name: 'Title', exact: true })
  await title.fill('Feux et fumée')
  await title.press('Enter')
  await page.getByRole('alert').filter({ hasText: 'The title was not saved.' }).waitFor()
  assert.equal(sent, 1)
  let warned = 0
  page.on('dialog', (dialog) => {
    warned += 1
    void dialog.dismiss()
  })
  await page.evaluate(() => void setTimeout(() => location.reload()))
  for (const end = Date.now() + t.WAIT_MS; warned === 0 && Date.now() < end;) await page.waitForTimeout(50)
  assert.equal(warned, 1, 'closing the page asks first')
  assert.equal(await title.inputValue(), 'Feux et fumée')
  away = false
  await looksAgain(page)
  await page.getByText('The title was not saved.').waitFor({ state: 'detached' })
  assert.equal(sent, 2)
  assert.equal(await title.inputValue(), 'Feux et fumée')
  const kept = await (await context.request.get(`${town.here}/api/v1/records/${id}`)).json()
  assert.equal(kept.record.title, 'Feux et fumée')
})
