// What this device keeps of one record's text: a database of the browser, which may be refused, full, or closed at any
// time (a phone does so in the background, another window when it deletes). Nothing of that reaches the text: what could
// not be kept is said, and the database is opened again and given the whole text.
import * as Y from 'yjs'
import { Timers } from './timers'

const ROWS = 'updates'
/** So many changes are put together into one. */
const MAX_ROWS = 500
const REOPEN_MS = 2_000
const MAX_REOPEN_MS = 60_000

export interface Follower {
  /** Whether the device has all of the text. */
  kept: (all: boolean) => void
  /** Whether there is something that only this device could keep: else a database that went away stays away. */
  waits: () => boolean
}

export class DeviceCopy {
  private readonly timers = new Timers()
  private db: IDBDatabase | null = null
  private opening = false
  private closed = false
  private rows = 0
  private pauseMs = 0

  constructor(
    private readonly name: string,
    private readonly doc: Y.Doc,
    private readonly follower: Follower = { kept: () => undefined, waits: () => false },
  ) {}

  /** Reads what the device has into the text, and keeps what is changed from then on; answers once that is tried. */
  open(): Promise<boolean> {
    this.doc.on('update', this.onUpdate)
    return this.bringIn()
  }

  close(): void {
    this.closed = true
    this.timers.end()
    this.doc.off('update', this.onUpdate)
    this.db?.close()
    this.db = null
  }

  /** Closes, and deletes what the device has. */
  forget(): void {
    this.close()
    indexedDB.deleteDatabase(this.name)
  }

  private readonly onUpdate = (update: Uint8Array, origin: unknown) => {
    if (origin === this) return
    const { db } = this
    if (db === null) {
      if (this.follower.waits()) this.reopen()
      return
    }
    try {
      const change = db.transaction(ROWS, 'readwrite')
      change.onabort = () => this.lost(db)
      change.objectStore(ROWS).add(update)
      this.rows += 1
      if (this.rows > MAX_ROWS) this.putTogether(db).catch(() => this.lost(db))
    } catch {
      this.lost(db)
    }
  }

  /** The database is of no use any more; whatever was being written may be missing in it. */
  private lost(db: IDBDatabase): void {
    if (this.closed || this.db !== db) return
    db.close()
    this.db = null
    this.follower.kept(false)
    if (this.follower.waits()) this.reopen()
  }

  private reopen(): void {
    if (this.closed || this.opening) return
    this.opening = true
    this.timers.after(this.pauseMs, () => void this.bringIn())
    this.pauseMs = Math.min(Math.max(this.pauseMs * 2, REOPEN_MS), MAX_REOPEN_MS)
  }

  private async bringIn(): Promise<boolean> {
    this.opening = true
    let db: IDBDatabase | null = null
    try {
      db = await opened(this.name, (gone) => this.lost(gone))
      await this.putTogether(db)
      this.pauseMs = 0
    } catch {
      db?.close()
      this.db = null
    }
    this.opening = false
    const kept = this.db !== null
    if (this.closed) return kept
    this.follower.kept(kept)
    if (!kept && this.follower.waits()) this.reopen()
    return kept
  }

  /** Takes in every row and leaves one in their place: the whole text. Answers once that is on the device. */
  private putTogether(db: IDBDatabase): Promise<void> {
    return new Promise((done, failed) => {
      const change = db.transaction(ROWS, 'readwrite')
      const rows = change.objectStore(ROWS)
      change.oncomplete = () => done()
      change.onabort = () => failed(change.error)
      const asked = rows.getAll() as IDBRequest<Uint8Array[]>
      asked.onsuccess = () => {
        if (this.closed) return change.abort()
        try {
          Y.transact(this.doc, () => asked.result.forEach((row) => Y.applyUpdate(this.doc, row)), this)
          rows.clear()
          rows.add(Y.encodeStateAsUpdate(this.doc))
        } catch {
          // rows that cannot be read stay as they are
          return change.abort()
        }
        this.rows = 1
        this.db = db
      }
    })
  }
}

function opened(name: string, gone: (db: IDBDatabase) => void): Promise<IDBDatabase> {
  return new Promise((done, failed) => {
    const asked = indexedDB.open(name)
    asked.onupgradeneeded = () => asked.result.createObjectStore(ROWS, { autoIncrement: true })
    asked.onerror = () => failed(asked.error)
    asked.onsuccess = () => {
      const db = asked.result
      db.onclose = db.onversionchange = () => gone(db)
      done(db)
    }
  })
}
