// The browser's own database may be closed, deleted or refused under an open text: nothing of that keeps an edit from the
// office's computer, and the page promises to keep only what it can.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as t from './town.mjs'

let town, browser, host, id
before(async () => {
  ;({ town, browser } = await t.openBoth())
  host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  await host.page.goto(`${town.here}/records`)
  id = await t.importFile(host.page, { name: 'Feux.md', mimeType: 'text/markdown', buffer: Buffer.from('# Feux\n\nTexte sur les feux\n') })
})
after(() => t.closeBoth({ town, browser }))

/** The host once more, in a browser whose line a test may cut; `init` runs in each of its pages. */
async function again(init) {
  const { page, context, complaints } = await t.person(browser)
  await context.addCookies(await host.context.cookies())
  const line = { cut: false, sockets: [] }
  await context.routeWebSocket(/\/hocuspocus/, (socket) => {
    if (line.cut) return socket.close()
    line.sockets.push([socket, socket.connectToServer()])
  })
  line.break = async () => {
    line.cut = true
    for (const side of line.sockets.splice(0).flat()) await side.close().catch(() => undefined)
  }
  if (init) await context.addInitScript(init)
  return { page, context, complaints, line }
}

const record = () => `${town.here}/records/${id}`
const exported = async () => (await host.context.request.get(`${town.here}/api/v1/records/${id}/export`)).text()
const says = (page, words) => t.pill(page).filter({ hasText: words }).waitFor()

async function opens(page) {
  await page.goto(record())
  await t.pillSays(page, 'saved')
  await t.cursorAfter(page, 'Texte sur les feux')
}

/** From another tab: every database of this browser goes, whoever has it open. */
async function deleteAll(context) {
  const other = await context.newPage()
  await other.goto(`${town.here}/mark.svg`)
  await other.evaluate(async () => {
    for (const { name } of await indexedDB.databases()) {
      await new Promise((done, failed) => Object.assign(indexedDB.deleteDatabase(name), { onsuccess: done, onerror: failed, onblocked: failed }))
    }
  })
  await other.close()
}

test('what is typed after another tab deleted the database reaches the office, and is kept again', async () => {
  const { page, context, line, complaints } = await again()
  await opens(page)
  await page.keyboard.type(' Avant.')
  await t.pillSays(page, 'saved')
  await deleteAll(context)
  await page.keyboard.type(' Ensuite.')
  await t.textHolds(page, 'Avant. Ensuite.')
  await t.pillSays(page, 'saved')
  assert.match(await exported(), /Avant\. Ensuite\./)
  // the tab that deleted has no icon of its own
  assert.deepEqual(complaints.filter((said) => !said.includes('404')), [])

  await line.break()
  await page.keyboard.type(' Hors ligne.')
  await says(page, '12 changes kept on this device')
  await deleteAll(context)
  await says(page, '12 changes kept on this device')
  page.on('dialog', (dialog) => void dialog.accept())
  await page.reload()
  await says(page, '12 changes kept on this device')
  await t.textHolds(page, 'Hors ligne.')
  line.cut = false
  await t.pillSays(page, 'saved')
  assert.equal((await exported()).split('Avant. Ensuite. Hors ligne.').length, 2, 'once')
})

test('a database that the browser closes does not silence the text', async () => {
  const { page, complaints } = await again(() => {
    const { open } = indexedDB
    window.opened = []
    indexedDB.open = (...words) => {
      const asked = open.apply(indexedDB, words)
      asked.addEventListener('success', () => window.opened.push(asked.result))
      return asked
    }
  })
  await opens(page)
  await page.evaluate(() => window.opened.forEach((db) => db.close()))
  await page.keyboard.type(' Réveil.')
  await t.textHolds(page, 'Réveil.')
  await t.pillSays(page, 'saved')
  assert.match(await exported(), /Réveil\./)
  assert.deepEqual(complaints, [])
})

test('a device that cannot keep anything promises nothing', async () => {
  const { page, context, line } = await again(() => {
    const { add } = IDBObjectStore.prototype
    IDBObjectStore.prototype.add = function (...words) {
      const asked = add.apply(this, words)
      if (window.full) this.transaction.abort()
      return asked
    }
  })
  await opens(page)
  await line.break()
  await page.keyboard.type('a')
  await says(page, 'one change kept on this device')
  await page.evaluate(() => (window.full = true))
  await page.keyboard.type('b')
  await says(page, '2 changes, kept only while this page is open')
  await page.evaluate(() => (window.full = false))
  await says(page, '2 changes kept on this device')

  await page.evaluate(() => (window.full = true))
  await page.keyboard.type('c')
  await says(page, '3 changes, kept only while this page is open')
  const denied = Buffer.concat([Buffer.from([`record:${id}`.length]), Buffer.from(`record:${id}`), Buffer.from([2, 1, 17]), Buffer.from('permission-denied')])
  await context.routeWebSocket(/\/hocuspocus/, (socket) => socket.onMessage(() => socket.send(denied)))
  await says(page, 'Signed out · 3 changes, kept only while this page is open')
  await page.getByRole('button', { name: 'Join again' }).click()
  const dialog = page.getByRole('dialog').filter({ hasText: 'They are lost if you join again.' })
  await dialog.getByRole('button', { name: 'Stay here' }).click()
  await t.textHolds(page, 'abc')
})

test('two tabs of one record each note what they have not sent', async () => {
  const { page, context, line } = await again()
  await opens(page)
  const second = await context.newPage()
  await opens(second)
  await line.break()
  await page.bringToFront()
  await page.keyboard.type('un')
  await says(page, '2 changes kept on this device')
  await second.keyboard.type('x')
  await says(second, 'one change kept on this device')
  const marks = () => second.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('unsent')).length)
  assert.equal(await marks(), 2)
  // one tab goes as a phone ends it: its changes still wait, and the next opening sends them
  await page.close()
  second.on('dialog', (dialog) => void dialog.accept())
  await second.reload()
  await says(second, '3 changes kept on this device')
  line.cut = false
  await t.pillSays(second, 'saved')
  assert.equal(await marks(), 0)
})
