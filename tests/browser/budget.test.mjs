// What a colleague's device has to load, measured on the wire: the join screen, and everything up to the editor.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import * as t from './town.mjs'

const JOIN_BYTES = 120_000
const EDITOR_BYTES = 400_000

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

test('the join screen and the way to the editor stay within their budgets', async (scene) => {
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  const code = await t.share(host.page)
  const made = await host.context.request.post(`${town.here}/api/v1/records`, { data: { title: 'Budget', type: 'bylaw' }, headers: { origin: town.here } })
  const { record } = await made.json()

  const guest = await t.person(browser, { phone: true })
  const scripts = () => [...new Set(guest.asked.filter((url) => new URL(url).pathname.endsWith('.js')))]
  const weigh = async () => {
    let all = 0
    for (const url of scripts()) all += gzipSync(Buffer.from(await (await fetch(url)).arrayBuffer()), { level: 9 }).length
    return all
  }
  await guest.page.goto(`${town.lan}/join`, { waitUntil: 'networkidle' })
  await guest.page.locator('#code').waitFor()
  const join = await weigh()
  scene.diagnostic(`join: ${join} B of JavaScript, gzipped`)
  assert.ok(join > 20_000 && join <= JOIN_BYTES, `${join} B`)
  await t.joins(town, guest.page, code, 'Ann')
  await guest.page.goto(`${town.lan}/records/${record.id}`)
  await t.pillSays(guest.page, 'saved')
  const editor = await weigh()
  scene.diagnostic(`to the editor: ${editor} B of JavaScript, gzipped`)
  assert.ok(editor > join && editor <= EDITOR_BYTES, `${editor} B`)

  const largest = scripts().find((url) => url.includes('/Editor-'))
  const packed = await fetch(largest, { headers: { 'accept-encoding': 'br' } })
  assert.equal(packed.headers.get('content-encoding'), 'br', 'assets are sent as they were compressed at build time')
})
