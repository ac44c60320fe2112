// Real clients of the forum, driven from outside: one JSON command per line on stdin, one JSON answer per line on stdout.
import { answerCommands } from './commands.mjs'
import { io as io48 } from 'socket.io-client-4.8'
import { io as io40 } from 'socket.io-client-4.0'

const clients = new Map()

const orders = {
  open ({ client, url, token, auth, bearer, transports, version, reconnection }) {
    const io = version === '4.0' ? io40 : io48
    const said = { token }
    const socket = io(url, {
      auth: auth === undefined ? (bearer ? {} : send => send(said)) : auth,
      ...(bearer ? { extraHeaders: { authorization: `Bearer ${bearer}` } } : {}),
      ...(transports ? { transports } : {}),
      reconnection: reconnection ?? true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 100,
      forceNew: true
    })
    const one = { socket, said, heard: [], refused: null, gone: [], times: 0 }
    clients.set(client, one)
    socket.onAny((...all) => one.heard.push(all))
    socket.on('connect', () => { one.times += 1 })
    socket.on('disconnect', reason => one.gone.push(reason))
    socket.on('connect_error', error => { one.refused = error.message })
  },
  // What is sent after the name, as many arguments as there are.
  say ({ client, event, args }) { clients.get(client).socket.emit(event, ...args) },
  state ({ client }) {
    const { socket, heard, refused, gone, times } = clients.get(client)
    const { connected, recovered, active, id } = socket
    return { connected, recovered: recovered ?? false, active, id, heard, refused, gone, times }
  },
  forget ({ client }) { clients.get(client).heard.length = 0 },
  token ({ client, token }) { clients.get(client).said.token = token },
  connect ({ client }) { clients.get(client).socket.connect() },
  // The line breaks and stays away, until it is told to come back.
  away ({ client }) {
    const { io } = clients.get(client).socket
    io.reconnection(false)
    io.engine.close()
  },
  back ({ client }) {
    const { socket } = clients.get(client)
    socket.io.reconnection(true)
    socket.connect()
  },
  cut ({ client }) { clients.get(client).socket.io.engine.close() },
  close ({ client }) { clients.get(client).socket.close() }
}

await answerCommands(command => orders[command.do](command))
for (const { socket } of clients.values()) socket.close()
