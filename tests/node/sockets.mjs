// Real Socket.IO clients of both versions, driven from outside: one JSON command per line, one JSON answer per line.
// What is too long to be told is compared here.
import { answerCommands } from './commands.mjs'
import { io as io40 } from 'socket.io-client-4.0'
import { io as io48 } from 'socket.io-client-4.8'

const versions = { '4.0': io40, '4.8': io48 }
const clients = new Map()

class Client {
  constructor ({ url, auth, query, version, transports }) {
    Object.assign(this, { heard: [], ids: [], recovered: [], refused: [], gone: [] })
    this.socket = versions[version](url, {
      ...(auth ? { auth } : {}), ...(query ? { query } : {}), transports,
      forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100
    })
    const { socket } = this
    socket.on('connect', () => {
      this.ids.push(socket.id)
      this.recovered.push(socket.recovered ?? null)
      const { engine } = socket.io
      engine.on('close', (reason, details) => {
        const { type, code, status } = details?.context ?? details?.description ?? details ?? {}
        this.gone.push({ reason, type: type ?? null, code: code ?? status ?? details?.description ?? null })
      })
    })
    socket.on('connect_error', ({ message, data }) => this.refused.push({ message, data: data ?? null }))
    socket.onAny((...all) => this.heard.push(all))
  }

  state () {
    const { ids, recovered, refused, gone, socket, heard } = this
    const way = socket.io.engine?.transport?.name ?? null
    return { connected: socket.connected, id: socket.id ?? null, ids, recovered, way, refused, gone, heard: heard.length }
  }

  /** The next time an event is heard. */
  next (name) {
    return new Promise(resolve => this.socket.once(name, (...all) => resolve(all)))
  }
}

/** Text of so many bytes that does not look the same everywhere. */
function long (bytes) {
  return Array.from({ length: Math.ceil(bytes / 8) }, (_, n) => String(n).padStart(8, '-')).join('').slice(0, bytes)
}

const commands = {
  open (command) { clients.set(command.client, new Client(command)) },
  state: (_, client) => client.state(),
  heard: (_, client) => client.heard.splice(0),
  /** The second element of all that was heard under a name. */
  numbers: ({ name }, client) => client.heard.filter(all => all[0] === name).map(all => all[1]),
  say ({ event, args }, client) { client.socket.emit(event, ...args) },
  /** Says it, and is acknowledged. */
  ask: ({ event, args }, client) =>
    new Promise(resolve => client.socket.emit(event, ...args, (...all) => resolve(all))),
  /** As many as there are to be, in one go. */
  burst ({ event, count }, client) {
    for (let n = 0; n < count; n++) client.socket.emit(event, n)
  },
  /** Text and bytes of this length go there and come back as they were. */
  async large ({ event, back, bytes }, client) {
    const text = long(bytes)
    let heard = client.next(back)
    client.socket.emit(event, text)
    const same = (await heard)[0] === text
    // Base64 makes bytes a third longer in a polling payload.
    const binary = Buffer.from(text.slice(0, bytes / 2))
    heard = client.next(back)
    client.socket.emit(event, 'and', { deep: [binary] })
    const [word, { deep }] = await heard
    return same && word === 'and' && Buffer.compare(Buffer.from(deep[0]), binary) === 0
  },
  /** Bytes in different places, acknowledged. */
  binary: ({ event }, client) =>
    new Promise(resolve => client.socket.emit(event, Buffer.from([1, 2]), 'x', { b: Buffer.from([3]) }, (a, x, { b }) =>
      resolve([[...new Uint8Array(a)], x, [...new Uint8Array(b)]]))),
  /** Says something of this length, whatever becomes of it. */
  shout ({ event, bytes }, client) { client.socket.emit(event, long(bytes)) },
  // The line breaks and stays away for a while.
  away ({ ms }, client) {
    client.socket.io.reconnection(false)
    client.socket.io.engine.close()
    setTimeout(() => { client.socket.io.reconnection(true); client.socket.connect() }, ms)
  },
  leave (_, client) { client.socket.disconnect() }
}

await answerCommands(command => commands[command.do](command, clients.get(command.client)))
process.exit(0)
