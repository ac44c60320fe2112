// Without a mouse: the toolbar is one stop, arrows walk it, Escape goes to it and back, and its tools do what they say.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

/** What follows within half a second is undone together. */
const UNDO_STEP_MS = 700

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

const inText = (page) => page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'textbox')
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute('aria-label'))

async function newRecord(page, title) {
  await page.goto(town.here)
  await page.getByRole('button', { name: 'New record' }).click()
  await page.getByLabel('Title of the new record').fill(title)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/records/*')
  await t.pillSays(page, 'saved')
}

test('the editor is used by keyboard alone', async () => {
  const { page, complaints } = await t.person(browser)
  await t.hostLogsIn(town, page)
  await newRecord(page, 'Keyboard')
  await t.text(page).focus()
  await page.keyboard.press('Escape')
  assert.equal(await focused(page), 'Paragraph')
  await page.getByRole('status').filter({ hasText: 'You are in the toolbar.' }).waitFor()
  assert.equal(await page.locator('[role=toolbar] [tabindex="0"]').count(), 1, 'the toolbar is one stop')
  await page.keyboard.press('ArrowRight')
  assert.equal(await focused(page), 'Heading 1')
  await page.keyboard.press('End')
  assert.equal(await focused(page), 'Redo')
  await page.keyboard.press('ArrowRight')
  assert.equal(await focused(page), 'Paragraph', 'the walk goes round')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Enter')
  await page.keyboard.type('A heading')
  await t.text(page).getByRole('heading', { level: 2, name: 'A heading' }).waitFor()
  await page.keyboard.press('Escape')
  assert.equal(await focused(page), 'Heading 2', 'the toolbar remembers its place')
  await page.keyboard.press('Escape')
  await inText(page)
  await page.keyboard.press('Escape')
  await page.keyboard.press('Tab')
  await inText(page)
  assert.deepEqual(complaints, [])
})

test('each tool makes what it names, and the text stays', async () => {
  const { page } = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  await newRecord(page, 'Tools')
  const tool = (name) => page.getByRole('toolbar').getByRole('button', { name, exact: true })
  await t.text(page).click()
  await page.keyboard.type('- first')
  await page.keyboard.press('Enter')
  await page.keyboard.type('second')
  await t.text(page).locator('ul > li').nth(1).waitFor()
  await tool('Task list').click()
  const box = t.text(page).getByRole('checkbox', { name: 'Done: second' })
  await box.check()
  await t.text(page).locator('li[data-checked=true]').waitFor()
  await tool('Bulleted list').click()
  await inText(page)
  await page.keyboard.press('Enter')
  await page.keyboard.press('Enter')
  await tool('Bold').click()
  await page.keyboard.type('bold')
  await tool('Bold').click()
  await page.keyboard.type(' **typed** ')
  assert.equal(await t.text(page).locator('strong').count(), 2)
  await tool('Table').click()
  await page.keyboard.type('Zone')
  await page.keyboard.press('Tab')
  await page.keyboard.type('Limit')
  assert.deepEqual((await t.text(page).locator('th').allTextContents()).slice(0, 2), ['Zone', 'Limit'])
  await page.waitForTimeout(UNDO_STEP_MS)
  await tool('Add a row').click()
  assert.equal(await t.text(page).locator('tr').count(), 4)
  await tool('Undo').click()
  assert.equal(await t.text(page).locator('tr').count(), 3)
  await t.pillSays(page, 'saved')
  const id = page.url().split('/').at(-1)
  const exported = await (await page.request.get(`${town.here}/api/v1/records/${id}/export`)).text()
  for (const line of [/^[-*] first$/m, /^[-*] first\n[-*] second$/m, /\*\*bold\*\* \*\*typed\*\*/, /^\| *Zone *\| *Limit *\|/m]) assert.match(exported, line)
  const { draft } = await (await page.request.get(`${town.here}/api/v1/records/${id}`)).json()
  assert.notEqual(draft.state, 'failed', draft.why)
  const before = await t.text(page).innerText()
  await page.reload()
  await t.pillSays(page, 'saved')
  await t.textHolds(page, 'second')
  assert.equal(await t.text(page).innerText(), before, 'what is on the paper is what was kept')
})

test('a link is typed as people say it, and what is no link is refused', async () => {
  const { page, complaints } = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  await newRecord(page, 'Links')
  const link = page.getByRole('toolbar').getByRole('button', { name: 'Link', exact: true })
  const bad = page.getByRole('alert').filter({ hasText: 'A link starts with https://' })
  const hrefs = () => t.text(page).locator('a').evaluateAll((all) => all.map((a) => a.getAttribute('href')))
  await t.text(page).click()
  await link.click()
  for (const wrong of ['', 'ville', 'la ville.example', 'greffe@ville.example', 'javascript:alert(1)', 'page?de=ville.example', '//ville.example']) {
    await page.locator('#link-to').fill(wrong)
    await page.keyboard.press('Enter')
    await bad.waitFor()
    assert.deepEqual(await hrefs(), [], wrong)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await link.click()
    await bad.waitFor({ state: 'detached' })
  }
  const right = [
    ['www.ville.example', 'https://www.ville.example'],
    [' ville.example:8080/avis?n=1 ', 'https://ville.example:8080/avis?n=1'],
    ['http://ville.example', 'http://ville.example'],
    ['mailto:greffe@ville.example', 'mailto:greffe@ville.example'],
    ['/records', '/records'],
    ['#note', '#note'],
  ]
  for (const [index, [typed]] of right.entries()) {
    await page.locator('#link-to').fill(typed)
    await page.keyboard.press('Enter')
    await page.locator('#link-to').waitFor({ state: 'detached' })
    assert.deepEqual(await hrefs(), right.slice(0, index + 1).map(([, href]) => href))
    await link.click()
  }
  assert.deepEqual(complaints, [])
})
