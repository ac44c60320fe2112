// One open record: its shared text, kept on this device and sent to the office's computer, and the truth about both.
import { HocuspocusProvider, HocuspocusProviderWebsocket, MessageType, type onMessageParameters } from '@hocuspocus/provider'
import { computed, watch } from 'vue'
import * as Y from 'yjs'
import { DeviceCopy } from './device'
import { clearMarks, databaseOf, type Mark, marksAt, noteUnsent, type Place, sumOf, unsentAt } from './kept'
import { Timers } from './timers'
import { type Refusal, type Truth, truthOf } from './truth'

const LOCAL_TIMEOUT_MS = 3_000
const SLOW_OPEN_MS = 8_000
const NO_ANSWER_MS = 6_000
const RESYNC_MS = 10_000
const RECONNECTED_MS = 3_000
const MAX_RETRY_MS = 5_000
const WRITABLE_AGAIN_MS = 200

const REFUSALS: Record<string, Refusal> = { 'permission-denied': 'signedOut', 'not-found': 'gone' }

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
  device: DeviceCopy
  /** What was noted as unsent before this opening: the text that is read from the device holds it. */
  before: Mark[]
  /** That text was read. */
  read: boolean
  /** This opening among those of the same text. */
  opening: string
  socket: HocuspocusProviderWebsocket
  provider: HocuspocusProvider
}

export function openSession(place: Place, person: string, mayWrite: boolean) {
  const before = marksAt(place)
  const doc = new Y.Doc()
  const fragment = doc.getXmlFragment('default')
  const truth = truthOf(mayWrite, sumOf(before))
  // the provider hears of a change before anything else does: no fault elsewhere keeps it from the office's computer
  const line = connection(`record:${place.record}`, doc)
  const device = new DeviceCopy(databaseOf(place), doc, {
    kept: (all) => (truth.onDevice.value = all),
    waits: () => truth.unsent.value > 0,
  })
  const open: Open = {
    place, person, mayWrite, doc, truth, before, device, read: false, opening: Math.random().toString(36).slice(2),
    timers: new Timers(), all: new AbortController(), ...line,
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
      timers.end()
      provider.destroy()
      socket.destroy()
      device.close()
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
function readFromDevice(open: Open): Promise<void> {
  return new Promise((done) => {
    void open.device.open().then((read) => {
      open.read = read
      done()
    })
    open.timers.after(LOCAL_TIMEOUT_MS, done)
  })
}

/** Counts what is typed here until the office's computer has it on disk, and asks again when it does not answer. */
function countChanges(open: Open) {
  const { place, person, opening, doc, truth, timers, device, provider } = open
  const { connected, synced, readOnly, unsent, outstanding, refused, turnedDown, store, silent, onDevice } = truth
  /** Of the unsent changes, those of this opening. */
  let own = 0

  // what the device could not keep does not wait there
  function note() {
    if (onDevice.value) noteUnsent(place, opening, own, person)
  }
  watch(onDevice, note, { flush: 'sync' })
  function settle() {
    if (!truth.isSettled()) return
    if (unsent.value !== 0) {
      unsent.value = own = 0
      noteUnsent(place, opening, 0, person)
    }
    if (open.read) clearMarks(open.before.splice(0))
    silent.value = turnedDown.value = false
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
    if (asks && outstanding.value > 0 && silent.value) askAgain(open)
  })
  doc.on('update', (_update: Uint8Array, origin: unknown) => {
    if (origin === provider || origin === device) return
    unsent.value += 1
    own += 1
    note()
  })
  provider.on('unsyncedChanges', ({ number }: { number: number }) => {
    const fewer = number < outstanding.value
    outstanding.value = number
    if (fewer || !silent.value) expectAnswer()
    settle()
  })
  provider.on('synced', settle)
  provider.on('message', ({ message }: onMessageParameters) => {
    message.readVarString()
    if (message.readVarUint() !== MessageType.SyncStatus || message.readVarUint() === 1) return
    refused.value += 1
    turnedDown.value = true
  })
}

/** Compares both texts afresh over the same connection. What was sent before is still answered, and counts as well. */
function askAgain({ truth: { outstanding, refused }, provider }: Open) {
  const owed = Math.max(0, outstanding.value - refused.value)
  refused.value = 0
  provider.forceSync()
  provider.unsyncedChanges += owed
  outstanding.value = provider.unsyncedChanges
}

/** Follows the connection: there, lost, back again, and whether both sides have the same text. */
function hearConnection({ truth, timers, socket, provider }: Open) {
  const { connected, synced, everSynced, refusal, store, silent, refused, turnedDown, back, slow } = truth
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
    silent.value = turnedDown.value = false
    refused.value = 0
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
function hearOffice(open: Open) {
  const { mayWrite, truth, timers, socket, provider } = open
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
      timers.after(WRITABLE_AGAIN_MS, () => outstanding.value > 0 && connected.value && askAgain(open))
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
async function take({ doc, truth, all }: Open, from: Place) {
  const marks = marksAt(from)
  const old = new Y.Doc()
  const kept = new DeviceCopy(databaseOf(from), old)
  const read = await kept.open()
  if (read && !all.signal.aborted) Y.applyUpdate(doc, Y.encodeStateAsUpdate(old), 'earlier')
  if (read && !all.signal.aborted && truth.onDevice.value) {
    clearMarks(marks)
    if (unsentAt(from) === 0) kept.forget()
  }
  kept.close()
  old.destroy()
}
