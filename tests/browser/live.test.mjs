// The channels as people see them: a record posted in one window is in the other, with the stock client and no other server.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

/** The page cuts itself off for five seconds. */
const BACK_MS = 12_000

let town, browser
before(async () => {
  town = await t.Town.open()
  browser = await t.openBrowser()
})
after(async () => {
  await browser?.close()
  await town?.close()
})

const isLive = (page) => page.locator('[data-testid=live][data-state=connected]').waitFor()
const arrived = (page, words) => page.getByTestId('arrived').locator('li').filter({ hasText: words })

async function post(page, title, text) {
  await page.getByLabel('Title', { exact: true }).fill(title)
  await page.getByLabel('Text', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Post', exact: true }).click()
}

test('a record that is posted in one window arrives in both, and after an interruption, too', async () => {
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  await host.page.getByRole('link', { name: 'Manage' }).click()
  await host.page.getByRole('link', { name: 'Try it live' }).click()
  await isLive(host.page)
  await host.page.getByText('It goes to: Group 1.').waitFor()
  const opening = host.context.waitForEvent('page')
  await host.page.getByRole('link', { name: 'Open a second window' }).click()
  const second = await opening
  await isLive(second)

  await post(host.page, 'Road closed', 'From Monday on.')
  for (const page of [host.page, second]) {
    await arrived(page, 'Road closed').getByText('From Monday on.').waitFor()
    assert.equal(await page.getByTestId('arrived').locator('li').count(), 1, 'once')
  }
  await second.getByText('WebSocket').waitFor()
  assert.equal(await second.getByTestId('live').getAttribute('data-recovered'), null)

  await second.getByRole('button', { name: 'Cut off for 5 seconds' }).click()
  await second.locator('[data-testid=live][data-state=paused]').waitFor()
  await post(host.page, 'Road open again', '')
  await arrived(host.page, 'Road open again').waitFor()
  assert.equal(await arrived(second, 'Road open again').count(), 0, 'a window that is cut off hears nothing')
  await second.locator('[data-testid=live][data-recovered=true]').waitFor({ timeout: BACK_MS })
  await arrived(second, 'Road open again').getByText('Arrived after the interruption').waitFor()
  assert.equal(await second.getByTestId('arrived').locator('li').count(), 2, 'nothing twice')

  await host.page.getByRole('button', { name: 'Post', exact: true }).click()
  await host.page.getByRole('alert').filter({ hasText: 'Type a title.' }).waitFor()
  assert.deepEqual(t.strangers(host.asked, town), [])
  assert.deepEqual(host.complaints, [])
})
