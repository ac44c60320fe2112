// Says whether an editor survives what the gate let through:
//   node survive.mjs ROOMS
// A room is updates in order, and the state vector the office has after them. Each must apply, leave nothing
// waiting, and end at the same state vector; one line is printed for each that does not.
// One exception is let pass: structs grafted between two parents can make Yjs say "Unexpected case" while it
// collects garbage, once, after the update was applied (7 of 380,000 hostile updates); the document goes on.
import { readFileSync } from 'node:fs'
import * as Y from 'yjs'
import { In, visible } from './format.mjs'

const file = new In(readFileSync(process.argv[2]))
const rooms = file.uint()
let updates = 0
console.error = () => {}

function trouble (doc, parts, have) {
  for (const [n, part] of parts.entries()) {
    try {
      Y.applyUpdate(doc, part)
    } catch (error) {
      if (error.message !== 'Unexpected case') {
        return `update ${n} (${part.toString('hex')}): ${error.stack.split('\n').slice(0, 4).join(' ')}`
      }
    }
    updates++
    if (doc.store.pendingStructs !== null) return `update ${n} (${part.toString('hex')}) waits for structs`
    if (doc.store.pendingDs !== null) return `update ${n} (${part.toString('hex')}) waits for deletes`
  }
  if (!Buffer.from(Y.encodeStateVector(doc)).equals(have)) return 'another state vector'
  try {
    visible(doc)
    const again = new Y.Doc()
    Y.applyUpdate(again, Y.encodeStateAsUpdate(doc))
  } catch (error) {
    return `cannot be read: ${error.stack.split('\n').slice(0, 4).join(' ')}`
  }
  return null
}

for (let n = 0; n < rooms; n++) {
  const parts = []
  for (let count = file.uint(); count > 0; count--) parts.push(file.buf())
  const what = trouble(new Y.Doc(), parts, file.buf())
  if (what !== null) console.log(`room ${n}: ${what}`)
}
console.log(`${rooms} rooms, ${updates} updates`)
