// Real Yjs clients, driven from outside: one JSON command per line on stdin, one JSON answer per line on stdout.
import { answerCommands } from './commands.mjs'
import * as Y from 'yjs'
import WebSocket from 'ws'
import * as hocuspocus2 from 'hocuspocus-provider-2'
import * as hocuspocus3 from 'hocuspocus-provider-3'
import * as hocuspocus4 from 'hocuspocus-provider-4'
import * as websocket2 from 'y-websocket-2'
import * as websocket3 from 'y-websocket-3'

const hocuspocus = { 'provider-2': hocuspocus2, 'provider-3': hocuspocus3, 'provider-4': hocuspocus4 }
const websocket = { 'y-websocket-2': websocket2, 'y-websocket-3': websocket3 }

// Clients warn in words about what the tests look at in figures.
console.warn = console.error
console.log = console.error

/** The socket of the clients that a test can cut as a pulled cable would. */
class Line extends WebSocket {
  static open = new Set()
  constructor (...all) {
    super(...all)
    Line.open.add(this)
    this.on('close', () => Line.open.delete(this))
    this.on('error', () => {})
  }
}

const sockets = new Map()
const clients = new Map()

/** A socket that several providers of one version share. */
function socket (kind, name, url) {
  const key = `${kind} ${name}`
  if (!sockets.has(key)) {
    const { HocuspocusProviderWebsocket } = hocuspocus[kind]
    sockets.set(key, new HocuspocusProviderWebsocket({ url, WebSocketPolyfill: Line, delay: 100, minDelay: 100 }))
  }
  return sockets.get(key)
}

class Hocuspocus {
  constructor (command) {
    const { kind, url, document, token, session, awareness } = command
    Object.assign(this, { kind, token, denied: [], scope: null, told: [], synced: 0, sent: 0, closed: [] })
    this.doc = new Y.Doc()
    this.ws = socket(kind, command.socket, url)
    this.provider = new hocuspocus[kind].HocuspocusProvider({
      websocketProvider: this.ws,
      name: document,
      document: this.doc,
      token: () => this.token,
      broadcast: false,
      ...(kind === 'provider-2' && this.token === null ? { token: undefined } : {}),
      ...(session ? { sessionAwareness: true } : {}),
      ...(awareness === false ? { awareness: null } : {}),
      onAuthenticated: data => { this.scope = data?.scope ?? this.provider.authorizedScope },
      onAuthenticationFailed: ({ reason }) => this.denied.push(reason),
      onStateless: ({ payload }) => this.told.push(payload),
      onSynced: () => { this.synced += 1 },
      onOutgoingMessage: () => { this.sent += 1 },
      onClose: ({ event }) => this.closed.push(event.code)
    })
    if (kind !== 'provider-2') this.provider.attach()
  }

  state () {
    const { unsyncedChanges, isSynced } = this.provider
    const { scope, denied, told, synced, sent, closed } = this
    return { unsynced: unsyncedChanges, isSynced, scope, denied, told, synced, sent, closed, status: this.ws.status }
  }

  async authenticate (token) {
    this.token = token
    if (this.kind === 'provider-2') {
      this.provider.connect()
    } else {
      await this.provider.sendToken()
    }
  }

  offline () { this.ws.disconnect() }
  online () { this.ws.connect() }
  cut () { this.ws.webSocket.terminate() }
  tell (text) { this.provider.sendStateless(text) }
}

class Plain {
  constructor ({ kind, url, document, token, params }) {
    Object.assign(this, { kind, closed: [], stopped: null, synced: 0 })
    this.doc = new Y.Doc()
    this.provider = new websocket[kind].WebsocketProvider(url, document, this.doc, {
      WebSocketPolyfill: Line,
      disableBc: true,
      ...(token === null ? {} : { protocols: [`auth.${token}`] }),
      ...(params ? { params } : {})
    })
    this.provider.on('connection-close', event => this.closed.push(event?.code ?? null))
    this.provider.on('closed', ({ code }) => { this.stopped = code })
    this.provider.on('sync', synced => { if (synced) this.synced += 1 })
  }

  state () {
    const { closed, stopped, synced } = this
    return { isSynced: this.provider.synced, closed, stopped, synced, connected: this.provider.wsconnected }
  }

  offline () { this.provider.disconnect() }
  online () { this.provider.connect() }
  cut () { this.provider.ws.terminate() }
}

const commands = {
  open (command) {
    const Kind = command.kind.startsWith('provider-') ? Hocuspocus : Plain
    clients.set(command.client, new Kind(command))
  },
  insert ({ text, at }, { doc }) {
    const shared = doc.getText('t')
    shared.insert(at ?? shared.length, text)
  },
  state (_, client) {
    const others = client.provider.awareness?.getStates()
    return {
      text: client.doc.getText('t').toString(),
      xml: client.doc.getXmlFragment('default').toString(),
      config: client.doc.getMap('config').toJSON(),
      people: others ? [...others.values()].map(state => state.name).filter(Boolean).sort() : [],
      ...client.state()
    }
  },
  // As the page's editor has it: a paragraph, and that the saved text was put in.
  paragraph ({ text }, { doc }) {
    doc.transact(() => {
      const paragraph = new Y.XmlElement('paragraph')
      paragraph.insert(0, [new Y.XmlText(text)])
      doc.getXmlFragment('default').push([paragraph])
    })
  },
  config ({ key, value }, { doc }) { doc.getMap('config').set(key, value) },
  presence ({ name }, { provider }) { provider.awareness.setLocalState({ name }) },
  authenticate: ({ token }, client) => client.authenticate(token),
  tell ({ text }, client) { client.tell(text) },
  offline (_, client) { client.offline() },
  online (_, client) { client.online() },
  cut (_, client) { client.cut() },
  leave (_, client) { client.provider.destroy() },
  sockets: () => Line.open.size
}

await answerCommands(command => commands[command.do](command, clients.get(command.client)))
process.exit(0)
