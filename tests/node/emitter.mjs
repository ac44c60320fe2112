// A back end with Node's Redis emitter, driven from outside: one JSON command per line, one answer per line.
import { answerCommands } from './commands.mjs'
import { Emitter } from '@socket.io/redis-emitter'
import { createClient } from 'redis'

let redis, emitter

const orders = {
  async open ({ url }) {
    redis = createClient({ url })
    await redis.connect()
    emitter = new Emitter(redis)
  },
  // `bytes`: binary parts after the arguments.
  emit ({ namespace, to, except, volatile, event, args, bytes }) {
    let target = namespace ? emitter.of(namespace) : emitter
    if (to) target = target.to(to)
    if (except) target = target.except(except)
    if (volatile) target = target.volatile
    target.emit(event, ...args, ...(bytes ?? []).map(part => Buffer.from(part)))
  },
  // What it says to other servers about their sockets.
  join ({ to, room }) { emitter.in(to).socketsJoin(room) },
  leave ({ to, room }) { emitter.in(to).socketsLeave(room) },
  disconnect ({ to }) { emitter.in(to).disconnectSockets(true) }
}

await answerCommands(command => orders[command.do](command))
process.exit(0)
