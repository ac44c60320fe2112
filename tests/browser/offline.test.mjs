// Nothing that was typed is lost when the office's computer is away, and nothing arrives twice.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as t from './town.mjs'

const file = fileURLToPath(new URL('fixtures/reglement-feux.md', import.meta.url))

/** Who is logged in is kept a moment later than texts are: a login of the last moment may have to be repeated after a crash. */
const LOGIN_KEPT_MS = 1_500

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

test('edits made while disconnected survive a reload and arrive once', async () => {
  const host = await t.person(browser)
  const { page, context } = host
  let cut = false
  await context.routeWebSocket(/\/hocuspocus/, (socket) => (cut ? socket.close() : socket.connectToServer()))
  await t.hostLogsIn(town, page)
  const id = await t.importFile(page, file)
  const record = `${town.here}/records/${id}`
  await page.goto(record)
  await t.cursorAfter(page, 'encadre les feux')
  await page.keyboard.type(' Avant la panne.')
  await t.pillSays(page, 'saved')
  await page.waitForTimeout(LOGIN_KEPT_MS)

  await town.kill('SIGKILL')
  await t.pillSays(page, 'offline')
  await page.keyboard.type(' Pendant la panne.')
  await page.locator('[data-testid=pill]').filter({ hasText: /18 changes kept on this device/ }).waitFor()

  // the page is asked whether it may go while something is unsent
  let warned = false
  page.on('dialog', (dialog) => {
    warned ||= dialog.type() === 'beforeunload'
    void dialog.accept()
  })
  await town.start()
  cut = true
  await page.reload()
  assert.ok(warned, 'closing a page with unsent changes asks first')
  await t.pillSays(page, 'offline')
  await page.locator('[data-testid=pill]').filter({ hasText: /18 changes kept on this device/ }).waitFor()
  await t.textHolds(page, 'Avant la panne. Pendant la panne.')

  cut = false
  await t.pillSays(page, 'saved')
  const other = await t.person(browser)
  await town.kill('SIGKILL')
  await town.start()
  await t.hostLogsIn(town, other.page)
  await other.page.goto(record)
  await t.textHolds(other.page, 'Avant la panne. Pendant la panne.')
  const shown = await t.text(other.page).innerText()
  assert.equal(shown.split('Pendant la panne.').length, 2, 'once')

  const exported = await (await other.context.request.get(`${town.here}/api/v1/records/${id}/export`)).text()
  assert.equal(exported.split('Avant la panne. Pendant la panne.').length, 2, 'once')
  assert.deepEqual(t.strangers([...host.asked, ...other.asked], town), [])
})

/** A stateless message of the office's computer, as it travels: the document's name, the type 5, the text. */
function stateless(name, said) {
  const string = (text) => {
    const bytes = Buffer.from(text)
    return Buffer.concat([Buffer.from([bytes.length]), bytes])
  }
  return Buffer.concat([string(name), Buffer.from([5]), string(JSON.stringify(said))])
}

test('a full disk is said for as long as it lasts', async () => {
  const { page, context } = await t.person(browser)
  const sockets = []
  await context.routeWebSocket(/\/hocuspocus/, (socket) => {
    socket.connectToServer()
    sockets.push(socket)
  })
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  const id = await t.importFile(page, file)
  await page.goto(`${town.here}/records/${id}`)
  await t.pillSays(page, 'saved')
  const name = `record:${id}`
  sockets.at(-1).send(stateless(name, { townhall: { store: 'full' } }))
  await t.pillSays(page, 'full')
  await page.getByText('Not saved: the disk of the office\'s computer is full').waitFor()
  await t.cursorAfter(page, 'encadre les feux')
  await page.keyboard.type(' Plein.')
  await t.textHolds(page, 'Plein.')
  sockets.at(-1).send(stateless(name, { townhall: { store: 'writable' } }))
  await t.pillSays(page, 'saved')
})

test('late answers are not taken for others’, and an edit that is turned down is called that', async () => {
  const { page, context } = await t.person(browser)
  const STATUS = 8
  const kindOf = (frame) => frame[1 + frame[0]]
  const line = { late: false, held: [], asked: 0 }
  await context.routeWebSocket(/\/hocuspocus/, (socket) => {
    const office = socket.connectToServer()
    line.page = socket
    socket.onMessage((frame) => {
      if (kindOf(frame) === 0 && frame[2 + frame[0]] === 0) line.asked += 1
      office.send(frame)
    })
    office.onMessage((frame) => (line.late && kindOf(frame) === STATUS ? line.held.push(frame) : socket.send(frame)))
  })
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  const id = await t.importFile(page, file)
  await page.goto(`${town.here}/records/${id}`)
  await t.pillSays(page, 'saved')
  await t.cursorAfter(page, 'encadre les feux')
  line.late = true
  const { asked } = line
  await page.keyboard.type(' Lent.')
  await t.pillSays(page, 'offline')
  for (const end = Date.now() + t.WAIT_MS; line.asked === asked && Date.now() < end;) await page.waitForTimeout(50)
  assert.equal(line.asked, asked + 1, 'an office that is silent is asked again')
  for (const end = Date.now() + t.WAIT_MS; line.held.length < 7 && Date.now() < end;) await page.waitForTimeout(50)
  assert.equal(line.held.length, 7, 'each letter is answered, and the answer to what was asked')
  const release = () => line.page.send(line.held.shift())
  while (line.held.length > 1) release()
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
  assert.notEqual(await t.pill(page).getAttribute('data-state'), 'saved', 'one answer is still due')
  release()
  await t.pillSays(page, 'saved')

  await page.keyboard.type('x')
  const name = Buffer.from(`record:${id}`)
  line.page.send(Buffer.concat([Buffer.from([name.length]), name, Buffer.from([STATUS, 0])]))
  await t.pillSays(page, 'turnedDown')
  for (const end = Date.now() + t.WAIT_MS; line.held.length < 1 && Date.now() < end;) await page.waitForTimeout(50)
  release()
  await t.pillSays(page, 'saved')
})

test('an open page goes on by itself when the office’s computer comes back', async () => {
  const { page } = await t.person(browser)
  await town.kill('SIGTERM')
  await town.start()
  await t.hostLogsIn(town, page)
  const id = await t.importFile(page, file)
  await page.goto(`${town.here}/records/${id}`)
  await t.pillSays(page, 'saved')
  await t.cursorAfter(page, 'doit obéir à ses ordres')
  await page.waitForTimeout(LOGIN_KEPT_MS)
  await town.kill('SIGKILL')
  await page.keyboard.type(' Hors ligne.')
  await t.pillSays(page, 'offline')
  await town.start()
  await t.pillSays(page, 'reconnected')
  await t.pillSays(page, 'saved')
  assert.equal((await t.text(page).innerText()).split('Hors ligne.').length, 2)
})
