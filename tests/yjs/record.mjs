// Records sessions of real Yjs clients, the same for the same seed:
//   node record.mjs OUT [sessions] [first seed]
// For each session: what the office received, in the order it did, and what Yjs makes of it.
import { writeFileSync } from 'node:fs'
import * as Y from 'yjs'
import { Out, visible, replay } from './format.mjs'

const [out, sessions = '600', first = '1'] = process.argv.slice(2)

// mulberry32
function random (seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const KINDS = ['text', 'emoji', 'halves', 'format', 'map', 'array', 'xml', 'mixed']
const WORDS = ['the council ', 'by-law ', 'Règlement ', 'é', '\n', 'x', '議事録', '\u0000', 'a😀b', '😀😁', '👩‍👩‍👧 ', '𝒳']
const EMOJI = ['😀', '😁', '🏛️', 'a😀b', '👍🏽']
const HALVES = ['\ud83d', '\ude00', '😀', '😁', 'ab']

class Session {
  constructor (seed) {
    this.random = random(seed)
    this.kind = KINDS[seed % KINDS.length]
    this.received = []
    this.clients = []
    const count = 2 + this.int(3)
    for (let i = 0; i < count; i++) this.clients.push(this.client())
  }

  int (below) {
    return Math.floor(this.random() * below)
  }

  pick (list) {
    return list[this.int(list.length)]
  }

  chance (one, of) {
    return this.int(of) < one
  }

  client () {
    const doc = new Y.Doc({ guid: 'recorded' })
    doc.clientID = 1 + this.int(this.chance(1, 4) ? 300 : 0xffffffff)
    const client = { doc, inbox: [], unsent: null, undo: null, kept: [] }
    doc.on('update', (update, origin) => {
      if (origin === 'remote') return
      if (client.unsent === null) this.send(client, update)
      else client.unsent.push(update)
    })
    if (this.chance(1, 3)) client.undo = new Y.UndoManager(doc.getText('text'), { captureTimeout: 0 })
    return client
  }

  // To the office, which hands it to everybody else.
  send (from, update) {
    this.received.push(update)
    for (const client of this.clients) if (client !== from) client.inbox.push(update)
  }

  hear (client, count) {
    for (const update of client.inbox.splice(0, count)) Y.applyUpdate(client.doc, update, 'remote')
  }

  reconnect (client) {
    const unsent = client.unsent
    client.unsent = null
    if (unsent.length === 0) return
    if (this.chance(1, 2)) {
      this.send(client, Y.mergeUpdates(unsent))
    } else {
      const have = Y.encodeStateVector(replay(this.received))
      this.send(client, Y.encodeStateAsUpdate(client.doc, this.chance(1, 4) ? undefined : have))
    }
  }

  run () {
    const steps = 15 + this.int(45)
    for (let i = 0; i < steps; i++) {
      const client = this.pick(this.clients)
      if (client.unsent === null) this.hear(client, this.int(6))
      if (this.chance(1, 12)) {
        if (client.unsent === null) client.unsent = []
        else this.reconnect(client)
      }
      if (this.chance(1, 6)) client.doc.transact(() => { for (let n = this.int(4); n >= 0; n--) this.edit(client) })
      else this.edit(client)
    }
    for (const client of this.clients) if (client.unsent !== null) this.reconnect(client)
    for (const client of this.clients) this.hear(client, client.inbox.length)
  }

  edit (client) {
    if (client.undo !== null && this.chance(1, 8) && client.doc._transaction === null) {
      return this.chance(1, 2) ? client.undo.undo() : client.undo.redo()
    }
    const kind = this.kind === 'mixed' ? this.pick(KINDS) : this.kind
    switch (kind) {
      case 'text': return this.editText(client.doc.getText('text'), WORDS, false)
      case 'emoji': return this.editText(client.doc.getText('text'), EMOJI, false)
      case 'halves': return this.editText(client.doc.getText('text'), HALVES, false)
      case 'map': return this.editMap(client.doc.getMap('map'), 2)
      case 'array': return this.editArray(client.doc.getArray('array'), 2)
      case 'xml': return this.editXml(client.doc.getXmlFragment('default'), 3)
      default: return this.editText(client.doc.getText('text'), WORDS, true)
    }
  }

  editText (text, words, rich) {
    const length = text.length
    if (length > 0 && this.chance(1, 3)) {
      const at = this.int(length)
      return text.delete(at, Math.min(1 + this.int(5), length - at))
    }
    if (rich && length > 0 && this.chance(1, 2)) {
      const at = this.int(length)
      return text.format(at, 1 + this.int(length - at), this.attributes())
    }
    if (rich && this.chance(1, 8)) return text.insertEmbed(this.int(length + 1), { image: this.pick(words), n: 1e19 })
    const typed = this.pick(words).repeat(this.chance(1, 15) ? 40 : 1)
    if (rich && this.chance(1, 4)) return text.insert(this.int(length + 1), typed, this.attributes())
    text.insert(this.chance(1, 2) ? length : this.int(length + 1), typed)
  }

  attributes () {
    return { [this.pick(['bold', 'italic', 'link'])]: this.pick([true, null, { href: 'x', half: '\ud83d' }, 1.5, 1e19]) }
  }

  value (depth) {
    const plain = [1, -70, 3e9, 2 ** 52, 0.5, 1e300, NaN, true, false, null, undefined, 'text 😀', '', 1234567890123456789n]
    switch (this.int(depth > 0 ? 8 : 3)) {
      case 0: return { a: [this.pick(plain), { b: this.pick(plain) }], '': this.pick(WORDS) }
      case 1: return Uint8Array.from([1, 2, this.int(256)])
      case 3: return new Y.Map([['k', this.value(depth - 1)]])
      case 4: return Y.Array.from([1, 'two'])
      case 5: return new Y.Text(this.pick(WORDS))
      case 6: return this.chance(1, 4) ? new Y.Doc({ guid: `sub-${this.int(1000)}`, meta: { n: 1 } }) : 7
      default: return this.pick(plain)
    }
  }

  editMap (map, depth) {
    const key = this.pick(['title', 'a', 'b', 'é', ''])
    const inner = map.get(key)
    if (inner instanceof Y.AbstractType && this.chance(2, 3)) return this.inside(inner, depth - 1)
    if (this.chance(1, 4)) return map.delete(key)
    map.set(key, this.value(depth))
  }

  editArray (array, depth) {
    const at = this.int(array.length + 1)
    const inner = at < array.length ? array.get(at) : null
    if (inner instanceof Y.AbstractType && this.chance(2, 3)) return this.inside(inner, depth - 1)
    if (at < array.length && this.chance(1, 3)) return array.delete(at, Math.min(1 + this.int(3), array.length - at))
    const values = []
    for (let n = this.int(5); n >= 0; n--) values.push(this.value(depth))
    // an array takes these only inside of something
    const bare = value => value === undefined || typeof value === 'bigint'
    array.insert(at, values.map(value => bare(value) ? { value } : value))
  }

  inside (type, depth) {
    if (type instanceof Y.Map) return this.editMap(type, depth)
    if (type instanceof Y.Array) return this.editArray(type, depth)
    return this.editText(type, WORDS, true)
  }

  editXml (parent, depth) {
    const at = this.int(parent.length + 1)
    const inner = at < parent.length ? parent.get(at) : null
    if (parent instanceof Y.XmlElement && this.chance(1, 4)) {
      if (this.chance(1, 4)) return parent.removeAttribute('level')
      return parent.setAttribute('level', this.pick(['1', '2', '😀']))
    }
    if (inner instanceof Y.XmlText && this.chance(3, 4)) return this.editText(inner, WORDS, true)
    if (inner instanceof Y.XmlElement && depth > 0 && this.chance(3, 4)) return this.editXml(inner, depth - 1)
    if (inner !== null && this.chance(1, 4)) return parent.delete(at, 1)
    if (this.chance(1, 2)) return parent.insert(at, [new Y.XmlText(this.pick(WORDS))])
    const element = this.chance(1, 15) ? new Y.XmlHook('hook') : new Y.XmlElement(this.pick(['paragraph', 'heading']))
    parent.insert(at, element instanceof Y.XmlHook ? [element] : [element, new Y.XmlElement('rule')])
  }
}

function write (file, session) {
  const { received } = session
  const whole = replay(received)
  file.uint(received.length)
  for (const update of received) file.buf(update)
  file.buf(Y.encodeStateVector(whole))
  file.buf(Buffer.from(visible(whole)))
  // what a client that reconnects may send besides: its own merge of neighbours, or all it has
  const overlaps = []
  for (let at = 0; at < received.length; at += 5) {
    const from = Math.max(0, at - session.int(8))
    const past = received.slice(0, at + 1)
    if (session.chance(1, 2)) overlaps.push([at, Y.mergeUpdates(received.slice(from, at + 1))])
    else overlaps.push([at, Y.encodeStateAsUpdate(replay(past))])
  }
  file.uint(overlaps.length)
  for (const [at, update] of overlaps) {
    file.uint(at)
    file.buf(update)
  }
}

const file = new Out()
file.uint(Number(sessions))
for (let n = 0; n < Number(sessions); n++) {
  const session = new Session(Number(first) + n)
  session.run()
  write(file, session)
}
writeFileSync(out, file.bytes())
