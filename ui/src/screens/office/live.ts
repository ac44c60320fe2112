// A page on the office's channels, as a page of the town's forum is: the same client, a channel token, the same events.
import { io, type Socket } from 'socket.io-client'
import { onScopeDispose, ref } from 'vue'
import { central } from '@/api/central'
import { publish, site } from '@/api/channels'

export type State = 'connecting' | 'connected' | 'paused' | 'lost'
/** A record as it came; `late`: it was posted while this window was cut off. */
export interface Arrived { key: number; title: string; text: string; at: Date; late: boolean }
interface Discussion { title?: unknown; description?: unknown; created_at?: unknown }

/** What a window shows at most. */
const ARRIVED_MAX = 50
/** The client's own pace, taken again after a pause. */
const AGAIN_MS = 1_000
const AGAIN_MAX_MS = 5_000
const SPREAD = 0.5

const discussions = (message: unknown): Discussion[] => {
  const list = (message as { records?: { discussions?: unknown } } | null)?.records?.discussions
  return Array.isArray(list) ? (list as Discussion[]) : []
}
const words = (value: unknown) => (typeof value === 'string' ? value : '')

export function useLive(heard: (one: Arrived) => void) {
  const state = ref<State>('connecting')
  const way = ref('')
  /** Whether the last interruption was made good; `null`: there was none. */
  const recovered = ref<boolean | null>(null)
  const arrived = ref<Arrived[]>([])
  /** Where records go: everybody's first group; with a central server only this person's own windows. */
  const room = ref('')
  const alone = ref(true)
  let socket: Socket | null = null
  let closed = false
  let connections = 0
  let connectedAt = 0
  let key = 0

  function pace(least: number, most: number, spread: number) {
    socket?.io.reconnectionDelay(least)
    socket?.io.reconnectionDelayMax(most)
    socket?.io.randomizationFactor(spread)
  }

  function attend(to: Socket) {
    to.on('connect', () => {
      if (connections++ > 0) recovered.value = to.recovered
      connectedAt = Date.now()
      state.value = 'connected'
      pace(AGAIN_MS, AGAIN_MAX_MS, SPREAD)
      way.value = to.io.engine.transport.name
      to.io.engine.on('upgrade', (transport) => (way.value = transport.name))
    })
    to.on('disconnect', (reason) => {
      if (state.value !== 'paused') state.value = 'lost'
      if (reason === 'io server disconnect') to.connect()
    })
    to.on('connect_error', () => {
      state.value = 'lost'
    })
    to.on('records', (message: unknown) => {
      for (const one of discussions(message)) {
        const posted = Date.parse(words(one.created_at))
        const late = to.recovered && posted < connectedAt
        const entry = { key: ++key, title: words(one.title), text: words(one.description), at: new Date(), late }
        arrived.value = [entry, ...arrived.value].slice(0, ARRIVED_MAX)
        heard(entry)
      }
    })
  }

  /** Begins to listen. */
  async function open() {
    const [page, server] = await Promise.all([site(), central()])
    if (closed || socket) return
    const me = page.users[0]
    alone.value = server.url === null
    const group = alone.value ? me?.group_ids[0] : undefined
    room.value = group === undefined ? `user-${me?.id ?? 0}` : `group-${group}`
    socket = io({ query: { channel_token: page.channel_token }, forceNew: true })
    attend(socket)
  }

  /** Posts a record, as the town's forum does. */
  const post = (title: string, description: string) =>
    publish('/records', { room: room.value, records: { discussions: [{ id: Date.now(), title, description, created_at: new Date().toISOString() }] } })

  /** Cuts this window off for a while, as a lost network does. */
  function pause(forMs: number) {
    if (!socket?.connected) return
    pace(forMs, forMs, 0)
    state.value = 'paused'
    socket.io.engine.close()
  }

  onScopeDispose(() => {
    closed = true
    socket?.disconnect()
  })
  return { state, way, recovered, arrived, room, alone, open, post, pause }
}
