// Real Socket.IO clients as a Loomio page has them, driven from outside: one JSON command per line, one answer per line.
import { answerCommands } from './commands.mjs'
import { io as io40 } from 'socket.io-client-4.0'
import { io as io48 } from 'socket.io-client-4.8'

const versions = { '4.0': io40, '4.8': io48 }
const clients = new Map()

class Client {
  constructor ({ url, query, version, transports }) {
    Object.assign(this, { heard: [], ids: [], recovered: [], upgrades: [], refused: [], story: [] })
    const tell = (what) => this.story.push(`${Math.round(performance.now())} ${what}`)
    this.socket = versions[version ?? '4.8'](url, {
      ...(query ? { query } : {}), ...(transports ? { transports } : {}),
      forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 100
    })
    this.socket.on('connect', () => {
      this.ids.push(this.socket.id)
      this.recovered.push(this.socket.recovered ?? null)
      const { engine } = this.socket.io
      this.upgrades.push(engine.transport.name)
      engine.on('upgrade', transport => this.upgrades.push(transport.name))
      tell(`connect ${engine.transport.name}`)
    })
    this.socket.on('disconnect', reason => tell(`disconnect ${reason}`))
    this.socket.on('connect_error', error => { this.refused.push(error.message); tell('refused') })
    // What the library does below, for whoever reads why a test failed.
    this.socket.io.on('open', () => {
      const { engine } = this.socket.io
      tell(`open ${engine.transport.name}`)
      engine.on('upgrading', () => tell('upgrading'))
      engine.on('upgrade', () => tell('upgrade'))
      engine.on('upgradeError', error => tell(`upgradeError ${error.message}, ${engine.transport.readyState}`))
    })
    for (const name of ['records', 'notice']) this.socket.on(name, (...all) => this.heard.push([name, ...all]))
  }

  state () {
    const { heard, ids, recovered, upgrades, refused, story } = this
    return { connected: this.socket.connected, heard, ids, recovered, upgrades, refused, story }
  }
}

const commands = {
  open (command) { clients.set(command.client, new Client(command)) },
  state: (_, client) => client.state(),
  // The line breaks; the client comes back by itself.
  cut (_, client) { client.socket.io.engine.close() },
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
