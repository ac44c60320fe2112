// Looking changes nothing: a record that was opened in the editor is exported byte for byte as it was imported.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as t from './town.mjs'

const folder = (path) => fileURLToPath(new URL(path, import.meta.url))
const places = [folder('fixtures'), folder('../../../shared/samples/records')].filter(existsSync)
const files = places.flatMap((place) => readdirSync(place).filter((name) => name.endsWith('.md')).map((name) => join(place, name)))
const BINDING_MS = 700

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

test('opening a record in the editor changes no byte of it', async (scene) => {
  const host = await t.person(browser)
  const { page } = host
  await t.hostLogsIn(town, page)
  let sent = 0
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => {
      // document name, then message type 0 (sync) and its kind: 2 is an edit
      const bytes = Buffer.from(payload)
      const at = 1 + (bytes[0] ?? 0)
      if (bytes[at] === 0 && bytes[at + 1] === 2) sent += 1
    }),
  )
  const changed = []
  for (const file of files) {
    const source = readFileSync(file)
    const answer = await host.context.request.post(`${town.here}/api/v1/records/import?file_name=a.md`, {
      data: source,
      headers: { 'content-type': 'text/markdown', origin: town.here },
    })
    assert.equal(answer.status(), 201, file)
    const { record } = await answer.json()
    sent = 0
    await page.goto(`${town.here}/records/${record.id}`)
    await t.pillSays(page, 'saved')
    await t.text(page).waitFor()
    await page.waitForTimeout(BINDING_MS)
    if (sent > 0) changed.push(`${file}: the editor sent ${sent} edits`)
    const exported = await (await host.context.request.get(`${town.here}/api/v1/records/${record.id}/export`)).body()
    if (!exported.equals(source)) changed.push(`${file}: exported differently`)
  }
  scene.diagnostic(`${files.length} records`)
  assert.deepEqual(changed, [])
})
