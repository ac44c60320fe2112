// The channels as people see them: what is posted in one window is in the other, with the stock client and no other server.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

/** The page cuts itself off for five seconds. */
const BACK_MS = 12_000

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

/** A page that listens; each window shows two. */
const listener = (page, number) => page.getByTestId('listener').nth(number)
const state = (pane, is) => pane.locator(`[data-testid=live][data-state=${is}]`).waitFor()
const arrived = (pane, words) => pane.getByTestId('arrived').locator('li').filter({ hasText: words })

async function post(page, title, text) {
  await page.getByLabel('Title', { exact: true }).fill(title)
  await page.getByLabel('Text', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Post', exact: true }).click()
}

test('what is posted in one window arrives in both, and after an interruption, too', async () => {
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  await host.page.getByRole('link', { name: 'Manage' }).click()
  await host.page.getByRole('link', { name: 'Try it live' }).click()
  await host.page.getByText('It goes to: Group 1.').waitFor()
  const opening = host.context.waitForEvent('page')
  await host.page.getByRole('link', { name: 'Open in another window' }).click()
  const second = await opening
  const all = [host.page, second].flatMap((page) => [listener(page, 0), listener(page, 1)])
  for (const pane of all) await state(pane, 'connected')

  await post(host.page, 'Road closed', 'From Monday on.')
  for (const pane of all) {
    await arrived(pane, 'Road closed').getByText('From Monday on.').waitFor()
    assert.equal(await pane.getByTestId('arrived').locator('li').count(), 1, 'once')
    await pane.getByText('WebSocket').waitFor()
  }

  const [here, , , away] = all
  assert.equal(await away.getByTestId('live').getAttribute('data-recovered'), null)
  await away.getByRole('button', { name: 'Cut off for 5 seconds' }).click()
  await state(away, 'paused')
  await post(host.page, 'Road open again', '')
  await arrived(here, 'Road open again').waitFor()
  assert.equal(await arrived(away, 'Road open again').count(), 0, 'who is cut off hears nothing')
  await away.locator('[data-testid=live][data-recovered=true]').waitFor({ timeout: BACK_MS })
  await arrived(away, 'Road open again').getByText('Arrived after the interruption').waitFor()
  assert.equal(await away.getByTestId('arrived').locator('li').count(), 2, 'nothing twice')

  await host.page.getByRole('button', { name: 'Post', exact: true }).click()
  await host.page.getByRole('alert').filter({ hasText: 'Type a title.' }).waitFor()
  assert.deepEqual(t.strangers(host.asked, town), [])
  assert.deepEqual(host.complaints, [])
})
