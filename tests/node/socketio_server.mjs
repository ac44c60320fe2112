// The reference server of Socket.IO, set up as Loomio does, to compare figures with: `make bench`.
// Everybody is in the room `group-1`; the body of `POST /emit` is told there, and so is what a Redis named as the
// argument brings on `/records`. The first line says the port.
import http from 'node:http'
import { createClient } from 'redis'
import { Server } from 'socket.io'

const server = http.createServer((request, answer) => {
  if (request.method !== 'POST' || request.url !== '/emit') return
  const pieces = []
  request.on('data', (piece) => pieces.push(piece))
  request.on('end', () => {
    tell(Buffer.concat(pieces))
    answer.end('{}')
  })
})
const tell = (body) => io.to('group-1').emit('records', JSON.parse(body))
const io = new Server(server, {
  serveClient: false,
  connectionStateRecovery: { maxDisconnectionDuration: 30 * 60 * 1000, skipMiddlewares: true },
})
io.on('connection', (socket) => socket.join('group-1'))
const [redisUrl] = process.argv.slice(2)
if (redisUrl) {
  const redis = createClient({ url: redisUrl })
  await redis.connect()
  await redis.subscribe('/records', tell)
}
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
