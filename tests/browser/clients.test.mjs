// Other programs' clients, as npm has them, beside the page's editor: one record, one text.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as t from './town.mjs'

const program = fileURLToPath(new URL('../node/clients.mjs', import.meta.url))
const providers = ['provider-2', 'provider-3', 'provider-4']
const everybody = [...providers, 'y-websocket-2', 'y-websocket-3']
const PAUSE_MS = 20

let town, browser
before(async () => ({ town, browser } = await t.openBoth()))
after(() => t.closeBoth({ town, browser }))

/** The clients' program: one command at a time, one answer each. */
function startClients() {
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const tell = async (command) => {
    child.stdin.write(`${JSON.stringify(command)}\n`)
    const { ok, error } = JSON.parse((await answers.next()).value)
    if (error) throw new Error(error)
    return ok
  }
  const until = async (client, what, holds) => {
    const end = Date.now() + t.WAIT_MS
    for (;;) {
      const state = await tell({ do: 'state', client })
      if (holds(state)) return state
      assert.ok(Date.now() < end, `${client} is not ${what}: ${JSON.stringify(state)}`)
      await new Promise((later) => setTimeout(later, PAUSE_MS))
    }
  }
  const end = async () => {
    child.stdin.end()
    await once(child, 'exit')
  }
  return { tell, until, end }
}

async function make(what, body) {
  const key = readFileSync(join(town.data, 'admin.token'), 'utf8').trim()
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const answer = await fetch(`${town.here}/api/v1/${what}`, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.equal(answer.status, 201, await answer.clone().text())
  return answer.json()
}

test('providers 2, 3 and 4, y-websocket 2 and 3 and the page write in one record', async () => {
  const host = await t.person(browser)
  await t.hostLogsIn(town, host.page)
  const { id } = (await make('records', { title: 'Avis' })).record
  await host.page.goto(`${town.here}/records/${id}`)
  await t.pillSays(host.page, 'saved')

  const clients = startClients()
  const { token } = await make('tokens', { name: 'Back end', role: 'editor' })
  for (const client of everybody) {
    const path = client.startsWith('provider') ? 'hocuspocus' : 'yjs'
    await clients.tell({ do: 'open', client, kind: client, socket: client, document: `record:${id}`, token, url: `${town.here.replace('http', 'ws')}/${path}` })
  }
  for (const client of everybody) await clients.until(client, 'synced', (state) => state.isSynced)

  await t.text(host.page).click()
  const typed = host.page.keyboard.type('Écrit dans la page.', { delay: 15 })
  for (const client of everybody) await clients.tell({ do: 'paragraph', client, text: `From ${client}.` })
  await typed

  const words = ['Écrit dans la page.', ...everybody.map((client) => `From ${client}.`)]
  for (const word of words) await t.textHolds(host.page, word)
  await t.pillSays(host.page, 'saved')
  const complete = (state) => words.every((word) => state.xml.includes(word))
  const texts = []
  for (const client of everybody) texts.push((await clients.until(client, 'complete', complete)).xml)
  assert.equal(new Set(texts).size, 1, 'all have the same text')
  for (const client of providers) await clients.until(client, 'saved', (state) => state.unsynced === 0)
  const paragraphs = await t.text(host.page).locator('p').allTextContents()
  for (const word of words) assert.equal(paragraphs.filter((one) => one.includes(word)).length, 1, `${word} once: ${paragraphs.join('|')}`)

  const exported = await (await host.context.request.get(`${town.here}/api/v1/records/${id}/export`)).text()
  for (const word of words) assert.equal(exported.split(word).length, 2, `the export says it once: ${word}`)
  await clients.end()
})
