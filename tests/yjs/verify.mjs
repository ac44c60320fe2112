// Says whether Yjs reads the same document from the office's bytes as it did when the session was recorded:
//   node verify.mjs RECORDED ANSWERS
// An answer is a way of delivery and the updates that make the document; one line is printed for each that is
// wrong, and a last one with how many were read.
import { readFileSync } from 'node:fs'
import * as Y from 'yjs'
import { In, blurred, replay, visible } from './format.mjs'

const [recorded, answers] = process.argv.slice(2).map(path => new In(readFileSync(path)))

function readSession () {
  for (let n = recorded.uint(); n > 0; n--) recorded.buf()
  const session = { have: recorded.buf(), visible: recorded.buf().toString() }
  for (let n = recorded.uint(); n > 0; n--) {
    recorded.uint()
    recorded.buf()
  }
  return session
}

function wrong (session, way, parts) {
  let doc
  try {
    doc = replay(parts)
  } catch (error) {
    return String(error)
  }
  if (!Buffer.from(Y.encodeStateVector(doc)).equals(session.have)) return 'another state vector'
  const seen = way === 'gapped' ? blurred : text => text
  const [here, there] = [seen(visible(doc)), seen(session.visible)]
  return here === there ? null : `reads\n${here}\ninstead of\n${there}`
}

const sessions = recorded.uint()
answers.uint()
let read = 0
for (let n = 0; n < sessions; n++) {
  const session = readSession()
  for (let ways = answers.uint(); ways > 0; ways--) {
    const way = answers.buf().toString()
    const parts = []
    for (let count = answers.uint(); count > 0; count--) parts.push(answers.buf())
    const what = wrong(session, way, parts)
    if (what !== null) console.log(`session ${n}, ${way}: ${what}`)
    read++
  }
}
console.log(`${read} answers read`)
