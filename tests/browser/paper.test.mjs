// What leaves the text comes back as it was, what is too much is refused in words, and paper shows the record alone.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

const SOURCE = `# Feux

- un
- deux

Avec ![2026](https://ailleurs.example/plan.png "7") et [un lien](note-1.md "12").

- loin

- l’un de l’autre
`

async function opened(markdown = SOURCE) {
  const who = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, who.page)
  await who.page.goto(`${town.here}/records`)
  const id = await t.importFile(who.page, { name: 'Feux.md', mimeType: 'text/markdown', buffer: Buffer.from(markdown) })
  await who.page.goto(`${town.here}/records/${id}`)
  await t.pillSays(who.page, 'saved')
  return { ...who, id }
}

test('cut and pasted again, the text is exported as it was', async () => {
  const { page, context, id } = await opened()
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const exported = async () => (await context.request.get(`${town.here}/api/v1/records/${id}/export`)).text()
  const first = await exported()
  await t.text(page).click()
  await page.keyboard.press('Control+a')
  await page.keyboard.press('Control+x')
  await t.text(page).filter({ hasNotText: 'deux' }).waitFor()
  await t.pillSays(page, 'saved')
  assert.doesNotMatch(await exported(), /deux/)
  await page.keyboard.press('Control+v')
  await t.textHolds(page, 'loin')
  await t.pillSays(page, 'saved')
  assert.equal((await exported()).trim(), first.trim())
})

test('what is too large to be sent at once is not pasted', async () => {
  const { page } = await opened()
  await t.cursorAfter(page, 'Avec')
  await page.evaluate(() => {
    const data = new DataTransfer()
    data.setData('text/plain', 'mot '.repeat(600_000))
    document.querySelector('.text').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }))
  })
  await page.getByRole('alert').filter({ hasText: 'What you paste is too large' }).waitFor()
  assert.doesNotMatch(await t.text(page).innerText(), /mot mot/)
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/paste-too-large.png` })
  await page.keyboard.type('!')
  await page.getByText('What you paste is too large').waitFor({ state: 'detached' })
  await t.pillSays(page, 'saved')
})

test('a record prints as its title, once, and its text', async () => {
  const { page } = await opened(SOURCE.replace('# Feux', 'Sans titre.'))
  await page.emulateMedia({ media: 'print' })
  for (const part of ['header', '[role=toolbar]', '[data-testid=pill]', 'input.title']) {
    assert.equal(await page.locator(part).filter({ visible: true }).count(), 0, `${part} is not printed`)
  }
  const title = await page.locator('main h1').first().boundingBox()
  assert.ok(title.width > 20 && title.height > 20, 'the title is')
  await t.text(page).filter({ hasText: 'deux' }).filter({ visible: true }).waitFor()
  const own = await opened()
  await own.page.emulateMedia({ media: 'print' })
  await t.text(own.page).filter({ hasText: 'deux' }).filter({ visible: true }).waitFor()
  const titles = await own.page.locator('main h1').filter({ visible: true }).allTextContents()
  assert.deepEqual(titles, ['Feux'], 'a text that begins with its title has it once')
  if (process.env.SHOTS) await own.page.screenshot({ path: `${process.env.SHOTS}/print.png` })
})
