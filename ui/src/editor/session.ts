// One open record: its shared text, kept on this device and sent to the office's computer, and the truth about both.
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { computed } from 'vue'
import { IndexeddbPersistence } from 'y-indexeddb'
import * as Y from 'yjs'
import { databaseOf, noteUnsent, type Place, unsentAt } from './kept'
import { Timers } from './timers'
import { type Refusal, type Truth, truthOf } from './truth'

const LOCAL_TIMEOUT_MS = 3_000
const SLOW_OPEN_MS = 8_000
const NO_ANSWER_MS = 6_000
const RESYNC_MS = 10_000
const RECONNECTED_MS = 3_000
const MAX_RETRY_MS = 5_000
const WRITABLE_AGAIN_MS = 200

const REFUSALS: Record<string, Refusal> = { 'permission-denied': 'signedOut', 'not-found': 'gone', removed: 'gone' }

export type Session = ReturnType<typeof openSession>

/** What the parts of a session share. */
interface Open {
  place: Place
  person: string
  mayWrite: boolean
  doc: Y.Doc
  truth: Truth
  timers: Timers
  all: AbortController
  local: IndexeddbPersistence | null
  socket: HocuspocusProviderWebsocket
  provider: HocuspocusProvider
}

export function openSession(place: Place, person: string, mayWrite: boolean) {
  const before = unsentAt(place)
  const doc = new Y.Doc()
  const fragment = doc.getXmlFragment('default')
  const truth = truthOf(mayWrite, before)
  const local = typeof indexedDB === 'undefined' ? null : new IndexeddbPersistence(databaseOf(place), doc)
  const open: Open = {
    place, person, mayWrite, doc, truth, local,
    timers: new Timers(), all: new AbortController(), ...connection(`record:${place.record}`, doc),
  }
  const { timers, all, socket, provider } = open

  hearConnection(open)
  countChanges(open)
  hearOffice(open)
  hurryWithThePage(open)
  void readFromDevice(open).then(() => {
    if (all.signal.aborted) return
    truth.localRead.value = true
    provider.attach()
    void socket.connect()
    timers.after(SLOW_OPEN_MS, () => (truth.slow.value = !truth.everSynced.value))
  })

  const { pill, unsent, readOnly, refusal, signedOut, slow, onDevice, everSynced } = truth
  /** Whether there is a text to show: the office's, or what this device keeps of it. */
  const hasText = computed(() => {
    const waits = unsent.value > 0 || (slow.value && fragment.length > 0)
    return everSynced.value || (truth.localRead.value && waits)
  })
  return {
    doc, provider, pill, unsent, readOnly, refusal, signedOut, hasText, slow, onDevice, everSynced,
    take: (from: Place) => take(open, from),
    retry() {
      refusal.value = null
      void socket.connect()
    },
    close() {
      all.abort()
      // nothing waits anywhere when this device could keep nothing
      if (!onDevice.value && before === 0) noteUnsent(place, 0, person)
      timers.end()
      provider.destroy()
      socket.destroy()
      void local?.destroy()
      doc.destroy()
    },
  }
}

function connection(name: string, doc: Y.Doc) {
  const socket = new HocuspocusProviderWebsocket({
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/hocuspocus?schema=1`,
    autoConnect: false,
    delay: 500,
    minDelay: 500,
    maxDelay: MAX_RETRY_MS,
  })
  // What was waiting while there was no connection is covered by the handshake that follows. Sent as well, its
  // acknowledgements would be counted for the handshake's, and "saved" would be said too early.
  socket.on('open', () => {
    ;(socket as unknown as { messageQueue: unknown[] }).messageQueue = []
  })
  return { socket, provider: new HocuspocusProvider({ websocketProvider: socket, name, document: doc, token: '' }) }
}

/** Waits for what this device keeps, a bounded time: a browser that keeps nothing may never say so. */
function readFromDevice({ local, truth, timers }: Open): Promise<void> {
  return new Promise((done) => {
    if (local === null) return done()
    local.whenSynced.then(() => {
      truth.onDevice.value = true
      done()
    }, () => done())
    timers.after(LOCAL_TIMEOUT_MS, done)
  })
}

/** Counts what is typed here until the office's computer has it on disk, and asks again when it does not answer. */
function countChanges({ place, person, doc, truth, timers, local, provider }: Open) {
  const { connected, synced, readOnly, unsent, outstanding, store, silent } = truth

  function settle() {
    if (!truth.isSettled()) return
    if (unsent.value !== 0) {
      unsent.value = 0
      noteUnsent(place, 0, person)
    }
    silent.value = false
  }
  let answer: ReturnType<typeof setTimeout> | undefined
  function expectAnswer() {
    timers.cancel(answer)
    silent.value = false
    if (outstanding.value === 0 || !connected.value) return
    answer = timers.after(NO_ANSWER_MS, () => (silent.value = outstanding.value > 0))
  }
  timers.every(RESYNC_MS, () => {
    const asks = connected.value && synced.value && !readOnly.value && store.value === 'writable'
    if (asks && outstanding.value > 0 && silent.value) provider.forceSync()
  })
  doc.on('update', (_update: Uint8Array, origin: unknown) => {
    if (origin === provider || origin === local) return
    unsent.value += 1
    noteUnsent(place, unsent.value, person)
  })
  provider.on('unsyncedChanges', ({ number }: { number: number }) => {
    const fewer = number < outstanding.value
    outstanding.value = number
    if (fewer || !silent.value) expectAnswer()
    settle()
  })
  provider.on('synced', settle)
}

/** Follows the connection: there, lost, back again, and whether both sides have the same text. */
function hearConnection({ truth, timers, socket, provider }: Open) {
  const { connected, synced, everSynced, refusal, store, silent, back, slow } = truth
  provider.on('synced', ({ state }: { state: boolean }) => {
    synced.value = state
    if (!state) return
    if (everSynced.value) {
      back.value = true
      timers.after(RECONNECTED_MS, () => (back.value = false))
    }
    everSynced.value = true
    slow.value = false
  })
  provider.on('status', ({ status }: { status: string }) => {
    connected.value = status === 'connected'
    if (connected.value) return
    synced.value = false
    store.value = 'writable'
    silent.value = false
  })
  provider.on('disconnect', () => (synced.value = false))
  // The office's computer closed this text only: a fresh connection is the way back.
  provider.on('close', ({ event }: { event: { code?: number } }) => {
    synced.value = false
    if (event.code !== 1000 || refusal.value !== null) return
    socket.disconnect()
    timers.after(RECONNECTED_MS, () => refusal.value === null && void socket.connect())
  })
}

/** What the office's computer says of this person's rights and of its disk. */
function hearOffice({ mayWrite, truth, timers, socket, provider }: Open) {
  const { connected, readOnly, refusal, outstanding, store } = truth
  provider.on('authenticated', ({ scope }: { scope?: string }) => {
    readOnly.value = scope === 'readonly' || !mayWrite
    refusal.value = null
  })
  provider.on('authenticationFailed', ({ reason }: { reason: string }) => {
    refusal.value = REFUSALS[reason] ?? 'unreadable'
    socket.disconnect()
  })
  provider.on('stateless', ({ payload }: { payload: string }) => {
    const said = storeSaid(payload)
    if (said === null) return
    if (said === 'writable' && store.value !== 'writable') {
      timers.after(WRITABLE_AGAIN_MS, () => outstanding.value > 0 && connected.value && provider.forceSync())
    }
    store.value = said
  })
}

/** What a message says of the office's disk; `null`: it is not for us. */
function storeSaid(payload: string): 'writable' | 'full' | 'faulty' | null {
  try {
    const said = (JSON.parse(payload) as { townhall?: { store?: unknown } }).townhall?.store
    return said === 'writable' || said === 'full' || said === 'faulty' ? said : null
  } catch {
    return null
  }
}

/** A page that is looked at again, or online again, does not wait for the next try; one that is left warns. */
function hurryWithThePage({ truth, all, socket }: Open) {
  const { connected, unsent, readOnly, refusal } = truth
  const warn = (event: BeforeUnloadEvent) => {
    if (unsent.value > 0 && !readOnly.value) event.preventDefault()
  }
  const hurry = () => {
    if (!connected.value && refusal.value === null) void socket.connect()
  }
  const { signal } = all
  window.addEventListener('beforeunload', warn, { signal })
  window.addEventListener('online', hurry, { signal })
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && hurry(), { signal })
}

/** Brings in what this device keeps of the same record from before its writer had to join again. */
async function take({ person, doc, truth, all }: Open, from: Place) {
  const old = new Y.Doc()
  const kept = new IndexeddbPersistence(databaseOf(from), old)
  await kept.whenSynced
  if (!all.signal.aborted) {
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(old), 'earlier')
    if (truth.onDevice.value) {
      noteUnsent(from, 0, person)
      await kept.clearData()
    }
  }
  old.destroy()
}
