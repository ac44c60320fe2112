// One open record: its shared text, kept on this device and sent to the office's computer, and the truth about both.
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { computed, ref } from 'vue'
import { IndexeddbPersistence } from 'y-indexeddb'
import * as Y from 'yjs'
import { databaseOf, noteUnsent, type Place, unsentAt } from './kept'

export type Pill = 'connecting' | 'saved' | 'sending' | 'offline' | 'reconnected' | 'full' | 'faulty' | 'refused' | 'signedOut' | 'reading'

const LOCAL_TIMEOUT_MS = 3_000
const SLOW_OPEN_MS = 8_000
const NO_ANSWER_MS = 6_000
const RESYNC_MS = 10_000
const RECONNECTED_MS = 3_000
const MAX_RETRY_MS = 5_000

/** Why the office's computer does not open the text: who this is may not, it is not there, or it cannot be read. */
export type Refusal = 'signedOut' | 'gone' | 'unreadable'
const REFUSALS: Record<string, Refusal> = { 'permission-denied': 'signedOut', 'not-found': 'gone', removed: 'gone' }

export type Session = ReturnType<typeof openSession>

export function openSession(place: Place, person: string, mayWrite: boolean) {
  const name = `record:${place.record}`
  const before = unsentAt(place)
  const doc = new Y.Doc()
  const fragment = doc.getXmlFragment('default')

  const connected = ref(false)
  const synced = ref(false)
  const everSynced = ref(false)
  const readOnly = ref(!mayWrite)
  const refusal = ref<Refusal | null>(null)
  const signedOut = computed(() => refusal.value === 'signedOut')
  const unsent = ref(before)
  const outstanding = ref(0)
  const store = ref<'writable' | 'full' | 'faulty'>('writable')
  const silent = ref(false)
  const back = ref(false)
  const slow = ref(false)
  const onDevice = ref(false)
  const localRead = ref(false)

  const all = new AbortController()
  const timers = new Set<ReturnType<typeof setTimeout>>()
  function after(waitMs: number, work: () => void) {
    const timer = setTimeout(() => {
      timers.delete(timer)
      work()
    }, waitMs)
    timers.add(timer)
    return timer
  }

  // ---- this device
  const local = typeof indexedDB === 'undefined' ? null : new IndexeddbPersistence(databaseOf(place), doc)
  const localReady = new Promise<void>((done) => {
    if (local === null) return done()
    local.whenSynced.then(() => {
      onDevice.value = true
      done()
    }, () => done())
    after(LOCAL_TIMEOUT_MS, done)
  })

  // ---- the office's computer
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

  const provider = new HocuspocusProvider({ websocketProvider: socket, name, document: doc, token: '' })

  function settle() {
    if (!connected.value || !synced.value || outstanding.value > 0 || readOnly.value) return
    if (unsent.value !== 0) {
      unsent.value = 0
      noteUnsent(place, 0, person)
    }
    silent.value = false
  }

  let answerTimer: ReturnType<typeof setTimeout> | undefined
  function expectAnswer() {
    clearTimeout(answerTimer)
    silent.value = false
    if (outstanding.value === 0 || !connected.value) return
    answerTimer = after(NO_ANSWER_MS, () => (silent.value = outstanding.value > 0))
  }
  const resync = setInterval(() => {
    if (connected.value && synced.value && outstanding.value > 0 && silent.value && !readOnly.value && store.value === 'writable') provider.forceSync()
  }, RESYNC_MS)

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
  provider.on('synced', ({ state }: { state: boolean }) => {
    synced.value = state
    if (!state) return
    if (everSynced.value) {
      back.value = true
      after(RECONNECTED_MS, () => (back.value = false))
    }
    everSynced.value = true
    slow.value = false
    settle()
  })
  provider.on('status', ({ status }: { status: string }) => {
    connected.value = status === 'connected'
    if (connected.value) return
    synced.value = false
    store.value = 'writable'
    silent.value = false
  })
  provider.on('disconnect', () => (synced.value = false))
  provider.on('authenticated', ({ scope }: { scope?: string }) => {
    readOnly.value = scope === 'readonly' || !mayWrite
    refusal.value = null
  })
  provider.on('authenticationFailed', ({ reason }: { reason: string }) => {
    refusal.value = REFUSALS[reason] ?? 'unreadable'
    socket.disconnect()
  })
  // The office's computer closed this text only: a fresh connection is the way back.
  provider.on('close', ({ event }: { event: { code?: number } }) => {
    synced.value = false
    if (event.code !== 1000 || refusal.value !== null) return
    socket.disconnect()
    after(RECONNECTED_MS, () => refusal.value === null && void socket.connect())
  })
  provider.on('stateless', ({ payload }: { payload: string }) => {
    try {
      const said = (JSON.parse(payload) as { townhall?: { store?: unknown } }).townhall?.store
      if (said === 'writable' || said === 'full' || said === 'faulty') {
        if (said === 'writable' && store.value !== 'writable') after(200, () => outstanding.value > 0 && connected.value && provider.forceSync())
        store.value = said
      }
    } catch {
      // not for us
    }
  })

  void localReady.then(() => {
    if (all.signal.aborted) return
    localRead.value = true
    provider.attach()
    void socket.connect()
    after(SLOW_OPEN_MS, () => (slow.value = !everSynced.value))
  })

  // ---- what the pill says
  const pill = computed<Pill>(() => {
    if (refusal.value !== null) return signedOut.value ? 'signedOut' : 'offline'
    if (!connected.value || !synced.value) return everSynced.value || slow.value || unsent.value > 0 ? 'offline' : 'connecting'
    if (readOnly.value) return unsent.value > 0 ? 'refused' : 'reading'
    if (store.value !== 'writable') return store.value
    if (outstanding.value > 0 || unsent.value > 0) return silent.value ? 'offline' : 'sending'
    return back.value ? 'reconnected' : 'saved'
  })
  /** Whether there is a text to show: the office's, or what this device keeps of it. */
  const hasText = computed(() => everSynced.value || (localRead.value && slow.value && fragment.length > 0) || (localRead.value && unsent.value > 0))

  const warn = (event: BeforeUnloadEvent) => {
    if (unsent.value > 0 && !readOnly.value) event.preventDefault()
  }
  window.addEventListener('beforeunload', warn, { signal: all.signal })
  const hurry = () => {
    if (!connected.value && refusal.value === null) void socket.connect()
  }
  window.addEventListener('online', hurry, { signal: all.signal })
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && hurry(), { signal: all.signal })

  function retry() {
    refusal.value = null
    void socket.connect()
  }

  /** Brings in what this device keeps of the same record from before its writer had to join again. */
  async function take(from: Place) {
    const old = new Y.Doc()
    const kept = new IndexeddbPersistence(databaseOf(from), old)
    await kept.whenSynced
    if (!all.signal.aborted) {
      Y.applyUpdate(doc, Y.encodeStateAsUpdate(old), 'earlier')
      if (onDevice.value) {
        noteUnsent(from, 0, person)
        await kept.clearData()
      }
    }
    old.destroy()
  }

  return {
    doc, provider, pill, unsent, readOnly, refusal, signedOut, retry, take, hasText, slow, onDevice, everSynced,
    close() {
      all.abort()
      // nothing waits anywhere when this device could keep nothing
      if (!onDevice.value && before === 0) noteUnsent(place, 0, person)
      timers.forEach(clearTimeout)
      clearTimeout(answerTimer)
      clearInterval(resync)
      provider.destroy()
      socket.destroy()
      void local?.destroy()
      doc.destroy()
    },
  }
}
