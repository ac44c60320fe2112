// What every test here starts from: the real program on a folder of its own, and a real browser.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = fileURLToPath(new URL('../../', import.meta.url))
const program = process.env.TOWNHALL_BIN ?? join(root, 'target/debug/townhall')
const READY_MS = 15_000
export const WAIT_MS = 15_000
/** The page asks who it is before it knows, and browsers note a wrong code's answer. */
const EXPECTED = /status of 40[13]|WebSocket connection to/

/** An address of this machine that is not the one the host's own window uses. */
export function lanAddress() {
  const all = Object.values(networkInterfaces()).flat()
  return all.find((a) => a.family === 'IPv4' && !a.internal)?.address ?? '127.0.0.2'
}

export async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}

export class Town {
  /** `env`: what the program's environment says beside its own. */
  static async open({ env = {} } = {}) {
    if (!existsSync(program)) throw new Error(`no program at ${program}: build it first, or name it in TOWNHALL_BIN`)
    const town = new Town()
    town.env = env
    town.data = mkdtempSync(join(tmpdir(), 'townhall-browser-'))
    town.port = await freePort()
    await town.start()
    return town
  }

  get here() {
    return `http://127.0.0.1:${this.port}`
  }

  get lan() {
    return `http://${lanAddress()}:${this.port}`
  }

  async start() {
    this.child = spawn(program, ['serve', '--data', this.data, '--listen', `127.0.0.1:${this.port}`], { env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'inherit'] })
    const lines = createInterface({ input: this.child.stdout })
    this.link = await new Promise((found, failed) => {
      const timer = setTimeout(() => failed(new Error('the program was not ready in time')), READY_MS)
      this.child.once('exit', (code) => failed(new Error(`the program ended with ${code}`)))
      lines.on('line', (line) => {
        const link = /http:\/\/\S+#once=\S+/.exec(line)
        if (!link) return
        clearTimeout(timer)
        found(link[0])
      })
    })
  }

  async kill(signal = 'SIGKILL') {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const gone = once(this.child, 'exit')
    this.child.kill(signal)
    await gone
  }

  async close() {
    await this.kill('SIGTERM')
    rmSync(this.data, { recursive: true, force: true })
  }
}

/** Both that a file's tests need. */
export const openBoth = async () => ({ town: await Town.open(), browser: await openBrowser() })
export async function closeBoth({ town, browser }) {
  await browser?.close()
  await town?.close()
}

export function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })
}

/** A person's browser. What its pages ask of other hosts, and what they complain of, is written down. */
export async function person(browser, { phone = false, language = 'en', dark = false } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 844 } : { width: 1280, height: 860 },
    isMobile: phone,
    hasTouch: phone,
    locale: language === 'fr' ? 'fr-CA' : 'en-CA',
    colorScheme: dark ? 'dark' : 'light',
    acceptDownloads: true,
  })
  context.setDefaultTimeout(WAIT_MS)
  const asked = []
  const complaints = []
  context.on('request', (request) => asked.push(request.url()))
  context.on('console', (message) => message.type() === 'error' && !EXPECTED.test(message.text()) && complaints.push(message.text()))
  context.on('weberror', (error) => complaints.push(String(error.error())))
  return { context, page: await context.newPage(), asked, complaints }
}

export const strangers = (asked, town) =>
  asked.filter((url) => !url.startsWith(`${town.here}/`) && !url.startsWith(`${town.lan}/`) && !/^(data|blob|about):/.test(url))

export async function hostLogsIn(town, page) {
  await page.goto(town.link)
  await page.getByRole('switch').waitFor()
}

/** Turns sharing on in the host's window and reads the code that it shows. */
export async function share(page) {
  const toggle = page.getByRole('switch')
  if ((await toggle.getAttribute('aria-checked')) !== 'true') await toggle.click()
  const code = page.locator('.code [aria-hidden]')
  await code.waitFor()
  return (await code.textContent()).trim()
}

export async function joins(town, page, code, name) {
  await page.goto(`${town.lan}/join#${code.replace('-', '')}`)
  await page.locator('#name').fill(name)
  await page.locator('form [type=submit]').click()
  await page.waitForURL('**/records')
}

export async function importFile(page, path) {
  await page.locator('input[type=file]').setInputFiles(path)
  const link = page.locator('section[aria-labelledby=imports] a')
  await link.waitFor()
  return (await link.getAttribute('href')).split('/').at(-1)
}

export const text = (page) => page.locator('.text')
export const pill = (page) => page.getByTestId('pill')
export const pillSays = (page, state) => page.locator(`[data-testid=pill][data-state=${state}]`).waitFor()

/** Puts the cursor at the end of the paragraph that holds these words, as a click there would. */
export async function cursorAfter(page, words) {
  await text(page).getByText(words).first().click()
  await page.keyboard.press('End')
}

export async function textHolds(page, words) {
  await text(page).filter({ hasText: words }).waitFor()
}
