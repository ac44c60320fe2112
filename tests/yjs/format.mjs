// The little format in which sessions travel between these scripts and `tests/it/recorded.rs`:
// lib0's unsigned integers, and buffers as their length and their bytes.
import * as Y from 'yjs'

export class Out {
  #chunks = []
  uint (value) {
    const bytes = []
    while (value >= 0x80) {
      bytes.push((value % 0x80) | 0x80)
      value = Math.floor(value / 0x80)
    }
    bytes.push(value)
    this.#chunks.push(Buffer.from(bytes))
  }

  buf (bytes) {
    this.uint(bytes.length)
    this.#chunks.push(Buffer.from(bytes))
  }

  bytes () {
    return Buffer.concat(this.#chunks)
  }
}

export class In {
  #bytes
  #at = 0
  constructor (bytes) {
    this.#bytes = bytes
  }

  uint () {
    let value = 0
    let unit = 1
    for (;;) {
      const byte = this.#bytes[this.#at++]
      value += (byte & 0x7f) * unit
      unit *= 0x80
      if (byte < 0x80) return value
    }
  }

  buf () {
    const length = this.uint()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}

// JSON with sorted keys: two replicas may have got a map's keys in another order.
function stable (value) {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('hex')}>`
  if (value instanceof Y.Doc) return `doc ${value.guid}`
  if (Array.isArray(value)) return value.map(stable)
  if (value instanceof Y.AbstractType) return stable(value.toJSON())
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.keys(value).sort().map(key => [key, stable(value[key])]))
  }
  return Number.isNaN(value) ? 'NaN' : value
}

// Everything a reader of the document can see.
export function visible (doc) {
  return JSON.stringify({
    text: stable(doc.getText('text').toDelta()),
    map: stable(doc.getMap('map').toJSON()),
    array: stable(doc.getArray('array').toJSON()),
    xml: doc.getXmlFragment('default').toString()
  })
}

// Half an emoji, a whole one and U+FFFD look alike here. Whoever cuts an emoji in two, or types it in halves, sends
// it whole or as two U+FFFD, depending on when; which of them a reader keeps depends on the order of delivery.
export function blurred (text) {
  return text.replace(/\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\ud800-\udfff\ufffd]/g, '?')
}

// A document that got `updates` in this order; refuses to be left waiting for something.
export function replay (updates) {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, update)
  if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null) throw new Error('something is missing')
  return doc
}
