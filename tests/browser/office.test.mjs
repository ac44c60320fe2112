// The clerk hosts, a colleague joins with a phone, they write in one record at the same time.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as t from './town.mjs'

const own = fileURLToPath(new URL('fixtures/reglement-feux.md', import.meta.url))
const sample = fileURLToPath(new URL('../../../shared/samples/records/bylaw-noise-restrictions.md', import.meta.url))
const files = [
  { path: own, first: 'encadre les feux en plein air', second: 'applique ce règlement' },
  ...(existsSync(sample) ? [{ path: sample, first: 'tous les résidents de la ville de Richmond.', second: 'all residents of the town of Richmond.' }] : []),
]

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

/** What a hand drags from the desktop onto the window. */
const bagOf = (page, files) =>
  page.evaluateHandle((all) => {
    const data = new DataTransfer()
    for (const [name, content] of all) data.items.add(new File([content], name))
    return data
  }, files)

/** Drops it as a hand does: a browser lets go only where what hovers was welcome. */
async function dropOn(page, bag) {
  const refused = await page.evaluate((data) => document.body.dispatchEvent(new DragEvent('dragover', { dataTransfer: data, bubbles: true, cancelable: true })), bag)
  assert.equal(refused, false, 'the page takes what hovers over it')
  await page.dispatchEvent('body', 'drop', { dataTransfer: bag })
}

async function writeTogether(host, phone, file) {
  await host.page.goto(`${town.here}/records`)
  const id = await t.importFile(host.page, file.path)
  for (const [who, base] of [[host, town.here], [phone, town.lan]]) {
    await who.page.goto(`${base}/records/${id}`)
    await t.textHolds(who.page, file.first)
    await t.pillSays(who.page, 'saved')
  }
  await t.cursorAfter(host.page, file.first)
  await t.cursorAfter(phone.page, file.second)
  await Promise.all([
    host.page.keyboard.type(' Écrit par le greffe.', { delay: 15 }),
    phone.page.keyboard.type(' Written on the phone.', { delay: 15 }),
  ])
  for (const { page } of [host, phone]) {
    await t.textHolds(page, 'Écrit par le greffe.')
    await t.textHolds(page, 'Written on the phone.')
    await t.pillSays(page, 'saved')
  }
  return id
}

test('a colleague joins by code from a phone and both write in an imported bylaw', async (scene) => {
  scene.diagnostic(`the colleague uses ${town.lan}`)
  const host = await t.person(browser)
  const phone = await t.person(browser, { phone: true, language: 'fr' })
  await t.hostLogsIn(town, host.page)
  assert.equal(new URL(host.page.url()).hash, '', 'the one-time word stays out of the address bar')
  const code = await t.share(host.page)
  assert.match(code, /^[A-Z0-9]{4}-[A-Z0-9]{4}$/)
  const office = await (await host.context.request.get(`${town.here}/api/v1/office`)).json()
  for (const address of office.addresses) {
    if (office.addresses.length > 1) await host.page.getByRole('combobox').selectOption(address.url)
    await host.page.locator(`[data-testid=qr][data-url="${address.url.replace(/\/$/, '')}"]`).waitFor()
  }
  await t.joins(town, phone.page, code, 'Zoé Tremblay')

  for (const file of files) {
    const id = await writeTogether(host, phone, file)

    const caret = host.page.locator('.text .caret')
    await caret.waitFor({ state: 'attached' })
    assert.equal(await caret.getAttribute('data-name'), 'Zoé Tremblay')
    assert.equal(await caret.getAttribute('aria-hidden'), 'true')
    assert.doesNotMatch(await t.text(host.page).innerText(), /Zoé Tremblay/, 'a name beside a cursor is no part of the text')
    await host.page.getByTestId('people').getByRole('img', { name: 'Zoé Tremblay' }).waitFor()
    assert.equal(await phone.page.getByTestId('people').getByRole('img').count(), 1)

    const answer = await host.context.request.get(`${town.here}/api/v1/records/${id}/export`)
    const exported = await answer.text()
    const source = readFileSync(file.path, 'utf8')
    const matter = source.slice(0, source.indexOf('\n---\n', 4) + 5)
    assert.ok(exported.startsWith(matter), 'the front matter is untouched, byte for byte')
    assert.match(exported, /Écrit par le greffe\./)
    assert.match(exported, /Written on the phone\./)
    assert.equal(exported.split('Écrit par le greffe.').length, 2, 'once')
  }
  assert.deepEqual(t.strangers([...host.asked, ...phone.asked], town), [])
  assert.deepEqual([...host.complaints, ...phone.complaints], [])
})

test('plain words when a code is wrong, and the host ends a colleague’s access', async () => {
  const host = await t.person(browser)
  const guest = await t.person(browser, { phone: true })
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)

  await guest.page.goto(`${town.lan}/`)
  await guest.page.waitForURL('**/join')
  await guest.page.locator('#code').fill('yyyy 2222')
  assert.equal(await guest.page.locator('#code').inputValue(), 'YYYY-2222')
  await guest.page.locator('#name').fill('Ann')
  await guest.page.locator('form [type=submit]').click()
  await guest.page.getByRole('alert').filter({ hasText: 'This code is wrong or has run out.' }).waitFor()
  await guest.page.locator('#code').fill(code.toLowerCase())
  await guest.page.locator('form [type=submit]').click()
  await guest.page.waitForURL('**/records')

  await host.page.getByRole('button', { name: 'End access for Ann' }).click()
  await host.page.getByRole('dialog').getByRole('button', { name: 'End access' }).click()
  await host.page.getByRole('button', { name: 'End access for Ann' }).waitFor({ state: 'detached' })
  await guest.page.waitForURL('**/join**')
  await guest.page.getByRole('alert').filter({ hasText: 'Your time here has ended' }).waitFor()
})

test('a colleague whose access ends while the text is open is told, and keeps what is on the screen', async () => {
  const host = await t.person(browser)
  const guest = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)
  const id = await t.importFile(host.page, own)
  await t.joins(town, guest.page, code, 'Bob')
  await guest.page.goto(`${town.lan}/records/${id}`)
  await t.pillSays(guest.page, 'saved')
  await host.page.getByRole('button', { name: 'End access for Bob' }).click()
  await host.page.getByRole('dialog').getByRole('button', { name: 'End access' }).click()
  await t.pillSays(guest.page, 'signedOut')
  await t.textHolds(guest.page, 'encadre les feux')
  assert.equal(await t.text(guest.page).getAttribute('contenteditable'), 'false')
  await guest.page.getByRole('button', { name: 'Join again' }).click()
  await guest.page.waitForURL('**/join**')
})

test('files are imported by dropping them on the window, each with its own result', async () => {
  const host = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, host.page)
  await host.page.goto(`${town.here}/records`)
  await host.page.locator('input[type=file]').waitFor({ state: 'attached' })
  const bag = await bagOf(host.page, [['Été.md', '# Été\n\nTexte.\n'], ['plan.pdf', '%PDF'], ['vide.md', '']])
  await host.page.dispatchEvent('body', 'dragenter', { dataTransfer: bag })
  await host.page.getByText('Drop the files to import them').waitFor()
  await dropOn(host.page, bag)
  const results = host.page.locator('section[aria-labelledby=imports]')
  await results.getByText('3 of 3 files').waitFor()
  await results.locator('li', { hasText: 'Été.md' }).getByRole('link').waitFor()
  await results.locator('li', { hasText: 'plan.pdf' }).getByText('This is not a Markdown file').waitFor()
  await results.locator('li', { hasText: 'vide.md' }).getByText('This file is empty.').waitFor()
  assert.equal(await host.page.getByText('Drop the files to import them').count(), 0)
})

test('files that are dropped while others are imported wait for their turn', async () => {
  const { page, complaints } = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  let go
  const slow = new Promise((done) => (go = done))
  await page.route('**/api/v1/records/import**', async (route) => {
    await slow
    await route.continue()
  })
  const drop = async (...files) => dropOn(page, await bagOf(page, files))
  const results = page.locator('section[aria-labelledby=imports]')
  await drop(['premier.md', '# Premier\n'])
  await results.getByText('Importing premier.md…').waitFor()
  await drop(['second.md', '# Second\n'], ['troisième.md', '# Troisième\n'])
  await results.getByText('0 of 3 files').waitFor()
  go()
  await results.getByText('3 of 3 files').waitFor()
  assert.equal(await results.getByRole('link').count(), 3)
  assert.deepEqual(await results.locator('li p.font-medium').allTextContents(), ['premier.md', 'second.md', 'troisième.md'])
  await drop(['seul.md', '# Seul\n'])
  await results.getByText('1 of 1 files').waitFor()
  await results.locator('li', { hasText: 'seul.md' }).getByRole('link').waitFor()
  assert.deepEqual(complaints, [])
})

test('the office’s name is typed in peace, and a name that is refused is told until it is closed', async () => {
  const { page, context } = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  const office = `${town.here}/api/v1/office`
  const answer = (method) => page.waitForResponse((r) => r.url() === office && r.request().method() === method)
  // the second answer comes after the first one is on the screen
  const askedTwice = async () => {
    await answer('GET')
    await answer('GET')
  }
  const field = page.getByLabel('Name of the office')
  assert.equal(await field.getAttribute('maxlength'), '64')
  await field.fill('Village de Sainte-Ann')
  await askedTwice()
  await page.keyboard.type('e')
  assert.equal(await field.inputValue(), 'Village de Sainte-Anne')
  const [kept] = await Promise.all([answer('PATCH'), page.keyboard.press('Enter')])
  assert.equal(kept.status(), 200)
  assert.equal((await (await context.request.get(office)).json()).name, 'Village de Sainte-Anne')
  assert.equal(await field.inputValue(), 'Village de Sainte-Anne')

  await field.fill('\u0007')
  await page.keyboard.press('Enter')
  const told = page.getByRole('alert').filter({ hasText: 'Type a name of at most 64 characters.' })
  await told.waitFor()
  await askedTwice()
  assert.equal(await told.count(), 1, 'it stays when the page asks again')
  assert.equal(await field.inputValue(), 'Village de Sainte-Anne', 'what is shown is what is kept')
  await told.getByRole('button', { name: 'Close' }).click()
  await told.waitFor({ state: 'detached' })
})

test('an answer from before sharing was switched on does not switch it off again, and one code is made', async () => {
  const { page, context } = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  let caught, release
  const held = new Promise((done) => (caught = done))
  const free = new Promise((done) => (release = done))
  await page.route(`${town.here}/api/v1/office`, async (route) => {
    const response = await route.fetch()
    caught()
    await free
    await route.fulfill({ response })
  }, { times: 1 })
  await held
  const code = await t.share(page)
  const late = page.waitForResponse(`${town.here}/api/v1/office`)
  release()
  assert.equal((await (await late).json()).sharing, false)
  // seen for a moment, it would be gone with the next answer
  const closed = page.locator('[role=switch][aria-checked=false]').waitFor({ timeout: 1_000 })
  await assert.rejects(closed, 'the switch stays on')
  assert.equal((await page.locator('.code [aria-hidden]').textContent()).trim(), code)
  const { invitations } = await (await context.request.get(`${town.here}/api/v1/invitations`)).json()
  assert.equal(invitations.length, 1)
})

test('who may only read sees the text, and cannot change it', async () => {
  const host = await t.person(browser)
  const reader = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, host.page)
  await t.share(host.page)
  const before = await host.page.locator('.code [aria-hidden]').textContent()
  await host.page.getByLabel('May only read').check()
  await host.page.waitForFunction((old) => document.querySelector('.code [aria-hidden]')?.textContent !== old, before)
  const code = (await host.page.locator('.code [aria-hidden]').textContent()).trim()
  const id = await t.importFile(host.page, own)

  await t.joins(town, reader.page, code, 'Reader')
  assert.equal(await reader.page.getByRole('button', { name: 'New record' }).count(), 0)
  await reader.page.goto(`${town.lan}/records/${id}`)
  await t.textHolds(reader.page, 'encadre les feux')
  await t.pillSays(reader.page, 'reading')
  assert.equal(await t.text(reader.page).getAttribute('contenteditable'), 'false')
  assert.equal(await reader.page.getByRole('toolbar').count(), 0)
})
