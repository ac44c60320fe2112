// What is true of an open record, and what its pill says of that. Knows no socket, no timer and no store.
import { computed, ref } from 'vue'

export type Pill = 'connecting' | 'saved' | 'sending' | 'offline' | 'reconnected' | 'full' | 'faulty' | 'refused' | 'turnedDown' | 'signedOut' | 'reading'

/** Why the office's computer does not open the text: who this is may not, it is not there, or it cannot be read. */
export type Refusal = 'signedOut' | 'gone' | 'unreadable'

export type Truth = ReturnType<typeof truthOf>

/** As it is before anything was heard; `waiting` changes are kept on this device from before. */
export function truthOf(mayWrite: boolean, waiting: number) {
  const connected = ref(false)
  const synced = ref(false)
  const everSynced = ref(false)
  const readOnly = ref(!mayWrite)
  const refusal = ref<Refusal | null>(null)
  const signedOut = computed(() => refusal.value === 'signedOut')
  /** Changes made here that the office's computer is not known to have on disk. */
  const unsent = ref(waiting)
  /** Of them, those that were sent over this connection and wait for their tick. */
  const outstanding = ref(0)
  /** Of them, those that the office's computer has turned down. */
  const refused = ref(0)
  /** It did so, and has not taken everything since. */
  const turnedDown = ref(false)
  const store = ref<'writable' | 'full' | 'faulty'>('writable')
  /** What was sent has not been answered for too long. */
  const silent = ref(false)
  const back = ref(false)
  const slow = ref(false)
  const onDevice = ref(false)
  const localRead = ref(false)

  const pill = computed<Pill>(() => {
    if (refusal.value !== null) return signedOut.value ? 'signedOut' : 'offline'
    if (!connected.value || !synced.value) return everSynced.value || slow.value || unsent.value > 0 ? 'offline' : 'connecting'
    if (readOnly.value) return unsent.value > 0 ? 'refused' : 'reading'
    if (store.value !== 'writable') return store.value
    if (turnedDown.value) return 'turnedDown'
    if (outstanding.value > 0 || unsent.value > 0) return silent.value ? 'offline' : 'sending'
    return back.value ? 'reconnected' : 'saved'
  })
  /** Whether everything that was typed here can be said to be on the office's disk. */
  const isSettled = () => connected.value && synced.value && outstanding.value === 0 && !readOnly.value

  return {
    connected, synced, everSynced, readOnly, refusal, signedOut, unsent, outstanding, refused, turnedDown, store, silent, back, slow,
    onDevice, localRead, pill, isSettled,
  }
}
