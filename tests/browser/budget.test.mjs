// What a colleague's device has to load, measured on the wire: the join screen, and everything up to the editor.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import * as t from './town.mjs'

const JOIN_BYTES = 120_000
const EDITOR_BYTES = 400_000

let town, browser
before(async () => {
  town = await t.Town.open()
  browser = await t.openBrowser()
})
after(async () => {
  await browser?.close()
  await town?.close()
})

test('the join screen and the way to the editor stay within their budgets', async (scene) => {
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)
  const made = await host.context.request.post(`${town.here}/api/v1/records`, { data: { title: 'Budget', type: 'bylaw' }, headers: { origin: town.here } })
  const { record } = await made.json()

  const guest = await t.person(browser, { phone: true })
  const loaded = new Map()
  guest.page.on('response', async (answer) => {
    if (new URL(answer.url()).pathname.endsWith('.js')) loaded.set(answer.url(), gzipSync(await answer.body(), { level: 9 }).length)
  })
  const sum = () => [...loaded.values()].reduce((all, one) => all + one, 0)
  await guest.page.goto(`${town.lan}/join`, { waitUntil: 'networkidle' })
  await guest.page.locator('#code').waitFor()
  scene.diagnostic(`join: ${sum()} B of JavaScript, gzipped`)
  assert.ok(sum() > 20_000 && sum() <= JOIN_BYTES, `${sum()} B`)
  await t.joins(town, guest.page, code, 'Ann')
  await guest.page.goto(`${town.lan}/records/${record.id}`)
  await t.pillSays(guest.page, 'saved')
  scene.diagnostic(`to the editor: ${sum()} B of JavaScript, gzipped`)
  assert.ok(sum() <= EDITOR_BYTES, `${sum()} B`)

  const asset = [...loaded.keys()].find((url) => !url.includes('preload'))
  const packed = await fetch(asset, { headers: { 'accept-encoding': 'br' } })
  assert.equal(packed.headers.get('content-encoding'), 'br', 'assets are sent as they were compressed at build time')
})
