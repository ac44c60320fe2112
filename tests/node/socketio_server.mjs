// The reference server of Socket.IO, set up as Loomio does, to compare figures with: `make bench`.
// Everybody is in the room `group-1`; the body of `POST /emit` is told there. The first line says the port.
import http from 'node:http'
import { Server } from 'socket.io'

const server = http.createServer((request, answer) => {
  if (request.method !== 'POST' || request.url !== '/emit') return
  const pieces = []
  request.on('data', (piece) => pieces.push(piece))
  request.on('end', () => {
    io.to('group-1').emit('records', JSON.parse(Buffer.concat(pieces)))
    answer.end('{}')
  })
})
const io = new Server(server, {
  serveClient: false,
  connectionStateRecovery: { maxDisconnectionDuration: 30 * 60 * 1000, skipMiddlewares: true },
})
io.on('connection', (socket) => socket.join('group-1'))
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
