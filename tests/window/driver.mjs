// Drives the real window: WebKitWebDriver by plain HTTP, inside a screen and a session bus of its own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export { sleep }

/** The program under test. */
export const program =
  process.env.TOWNHALL_DESKTOP ?? join(import.meta.dirname, '../../target/desktop/debug/townhall-desktop')

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'

/** A port that nobody holds right now. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Asks again until the answer is truthy; says what it waited for when it never is. */
export async function until(what, ask, { withinMs = 20_000, everyMs = 100 } = {}) {
  const end = Date.now() + withinMs
  let last
  for (;;) {
    try {
      const answer = await ask()
      if (answer) return answer
      last = answer
    } catch (error) {
      last = error
    }
    if (Date.now() > end) throw new Error(`waited ${withinMs} ms for ${what}; last: ${last?.message ?? last}`)
    await sleep(everyMs)
  }
}

/** A screen (Xvfb), a window manager and a session bus, with a home folder of their own. */
export async function desktop() {
  const home = await mkdtemp(join(tmpdir(), 'townhall-window-'))
  const started = []
  const environment = {
    ...process.env,
    HOME: home,
    XDG_CONFIG_HOME: join(home, 'config'),
    XDG_DATA_HOME: join(home, 'data'),
    XDG_CACHE_HOME: join(home, 'cache'),
    XDG_RUNTIME_DIR: home,
    XDG_DOWNLOAD_DIR: join(home, 'downloads'),
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
    NO_AT_BRIDGE: '1',
    GTK_USE_PORTAL: '0',
    TAURI_WEBVIEW_AUTOMATION: 'true',
  }
  delete environment.WAYLAND_DISPLAY
  delete environment.DBUS_SESSION_BUS_ADDRESS

  const start = (program, args, extra = {}) => {
    const child = spawn(program, args, { env: { ...environment, ...extra.env }, stdio: extra.stdio ?? ['ignore', 'pipe', 'pipe'] })
    child.said = ''
    child.stdout?.on('data', (bytes) => (child.said += bytes))
    child.stderr?.on('data', (bytes) => (child.said += bytes))
    child.on('error', (error) => (child.said += error.message))
    started.push(child)
    return child
  }

  // The X server chooses its own free number and writes it to descriptor 3.
  const screen = start('Xvfb', ['-displayfd', '3', '-screen', '0', '1400x1000x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  let number = ''
  screen.stdio[3].on('data', (bytes) => (number += bytes))
  await until('a screen', () => number.endsWith('\n'))
  environment.DISPLAY = `:${number.trim()}`

  const bus = start('dbus-daemon', ['--session', '--nofork', '--print-address=1'])
  await until('a session bus', () => bus.said.includes('\n'))
  environment.DBUS_SESSION_BUS_ADDRESS = bus.said.split('\n')[0].trim()
  start('openbox', [])

  const run = async (program, args) => {
    const child = start(program, args)
    const [code] = await once(child, 'exit')
    return { code, said: child.said }
  }

  const end = async () => {
    for (const child of started.reverse()) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM')
        const gone = once(child, 'exit')
        if ((await Promise.race([gone, sleep(6_000, 'late')])) === 'late') child.kill('SIGKILL')
      }
    }
    await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }

  return { home, environment, start, run, end }
}

/** The windows that are on the screen, by a part of their title. */
export async function visible(screen, title) {
  const { said } = await screen.run('xdotool', ['search', '--onlyvisible', '--name', title])
  return said.split('\n').filter((line) => /^\d+$/.test(line))
}

/** A session of WebKitWebDriver that has started `program`. */
export async function session(screen, program, args) {
  const port = await freePort()
  const driver = screen.start('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'])
  const base = `http://127.0.0.1:${port}`
  await until('the driver', async () => (await fetch(`${base}/status`)).ok)

  const ask = async (method, path, body) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    })
    const { value } = await response.json()
    if (!response.ok) throw new Error(`${method} ${path}: ${value?.error}: ${value?.message}`)
    return value
  }

  const { sessionId } = await ask('POST', '/session', {
    capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': { binary: program, args } } },
  })
  const path = (rest) => `/session/${sessionId}${rest}`

  const page = {
    driver,
    url: () => ask('GET', path('/url')),
    go: (url) => ask('POST', path('/url'), { url }),
    title: () => ask('GET', path('/title')),
    script: (script, ...args) => ask('POST', path('/execute/sync'), { script, args }),
    find: async (css) => (await ask('POST', path('/element'), { using: 'css selector', value: css }))[ELEMENT],
    click: async (css) => ask('POST', path(`/element/${await page.find(css)}/click`), {}),
    type: async (css, text) => ask('POST', path(`/element/${await page.find(css)}/value`), { text }),
    text: async (css) => ask('GET', path(`/element/${await page.find(css)}/text`)),
    end: () => ask('DELETE', path('')).catch(() => {}),
  }
  return page
}
