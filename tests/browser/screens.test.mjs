// Every screen, in both languages, light and dark, on a phone and on a desk: nothing for axe to find, nothing asked of another host.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AxeBuilder } from '@axe-core/playwright'
import * as t from './town.mjs'

const file = fileURLToPath(new URL('fixtures/reglement-feux.md', import.meta.url))
const shots = process.env.SHOTS
/** What arrives is shown in colour for a moment. */
const ARRIVING_MS = 1_300
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

let town, browser, cookies, record
before(async () => {
  ;({ town, browser } = await t.openBoth())
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  cookies = await host.context.cookies()
})
after(() => t.closeBoth({ town, browser }))

async function look(page, name) {
  await page.waitForTimeout(250) // what slides in has arrived
  const found = await new AxeBuilder({ page }).withTags(RULES).analyze()
  if (shots) {
    mkdirSync(shots, { recursive: true })
    await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true })
  }
  const told = found.violations.map((v) => `${name}: ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(' | ')}`)
  assert.deepEqual(told, [])
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.ok(wide <= 0, `${name} is ${wide} px wider than the screen`)
}

const ways = ['en', 'fr'].flatMap((language) => [false, true].flatMap((dark) => [false, true].map((phone) => ({ language, dark, phone }))))
for (const way of ways) {
  const name = `${way.phone ? 390 : 1280}-${way.dark ? 'dark' : 'light'}-${way.language}`
  test(`no screen has a barrier: ${name}`, async () => {
    const guest = await t.person(browser, way)
    await guest.page.goto(`${town.here}/join`)
    await guest.page.locator('#code').waitFor()
    assert.equal(await guest.page.evaluate(() => document.documentElement.lang), way.language)
    await look(guest.page, `join-${name}`)
    await guest.page.locator('form [type=submit]').click()
    await guest.page.locator('#code-wrong').waitFor()
    await look(guest.page, `join-wrong-${name}`)
    await guest.context.close()

    const host = await t.person(browser, way)
    await host.context.addCookies(cookies)
    const { page } = host
    if (!record) {
      await page.goto(`${town.here}/records`)
      await page.locator('h2').waitFor()
      await look(page, `records-empty-${name}`)
      await page.goto(town.here)
      await page.getByRole('switch').waitFor()
      await look(page, `start-closed-${name}`)
      record = await t.importFile(page, file)
      await look(page, `imported-${name}`)
      // from here on a colleague is in the record
      const colleague = await t.person(browser, { phone: true })
      await t.joins(town, colleague.page, await t.share(page), 'Marie-Hélène Lachapelle-Beauregard')
      await colleague.page.goto(`${town.lan}/records/${record}`)
      await t.cursorAfter(colleague.page, 'Printemps')
    }
    await page.goto(town.here)
    await t.share(page)
    await page.getByText('Marie-Hélène').waitFor()
    await look(page, `start-${name}`)
    await page.goto(`${town.here}/records`)
    await page.locator('.row').first().waitFor()
    await look(page, `records-${name}`)
    await page.locator('main .button-main').click()
    await page.getByRole('dialog').waitFor()
    await look(page, `new-${name}`)
    await page.goto(`${town.here}/records/${record}`)
    await t.pillSays(page, 'saved')
    await t.textHolds(page, 'encadre les feux')
    await page.getByTestId('people').waitFor()
    await look(page, `editor-${name}`)
    await page.goto(`${town.here}/office/activity`)
    await page.locator('[data-room^="record:"]').waitFor()
    await look(page, `activity-${name}`)
    await page.goto(`${town.here}/office/demo`)
    await page.locator('[data-testid=live][data-state=connected]').nth(1).waitFor()
    await look(page, `demo-empty-${name}`)
    await page.locator('form [type=submit]').click()
    await page.getByTestId('arrived').nth(1).locator('li').waitFor()
    await page.waitForTimeout(ARRIVING_MS)
    await look(page, `demo-${name}`)
    await page.goto(`${town.here}/office/central`)
    await page.locator('[data-testid=bus]').waitFor()
    await page.locator('form [type=submit]').click()
    await page.locator('#central-wrong').waitFor()
    await look(page, `central-empty-${name}`)
    await page.locator('#central-address').fill('redis://127.0.0.1:1')
    await page.locator('form [type=button]').first().click()
    await page.getByTestId('told').waitFor()
    await look(page, `central-tested-${name}`)
    await page.locator('form [type=submit]').click()
    await page.locator('[data-testid=bus][data-state=bad]').waitFor()
    await look(page, `central-away-${name}`)
    await page.locator('form [type=button]').last().click()
    await page.getByRole('dialog').waitFor()
    await look(page, `central-leave-${name}`)
    await page.getByRole('dialog').locator('.button-main').click()
    await page.locator('[data-testid=bus][data-state=idle]').waitFor()
    assert.deepEqual(t.strangers([...guest.asked, ...host.asked], town), [])
    assert.deepEqual(host.complaints, [])
    await host.context.close()
  })
}
