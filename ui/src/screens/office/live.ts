// A page on the office's channels, as a page of the town's forum is: the same client, a channel token, the same events.
import { io, type Socket } from 'socket.io-client'
import { onScopeDispose, ref } from 'vue'
import { central } from '@/api/central'
import { publish, site } from '@/api/channels'

/** With what a page listens, and where what is posted goes. */
export interface Place { token: string; room: string; alone: boolean }

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

/** Everybody's first group; with a central server only this person's own windows, so that no forum of the town hears a try-out. */
export async function findPlace(): Promise<Place> {
  const [page, server] = await Promise.all([site(), central()])
  const me = page.users[0]
  const alone = server.url === null
  const group = alone ? me?.group_ids[0] : undefined
  return { token: page.channel_token, room: group === undefined ? `user-${me?.id ?? 0}` : `group-${group}`, alone }
}

/** Posts a record, as the town's forum does. */
export const post = (room: string, title: string, description: string) =>
  publish('/records', { room, records: { discussions: [{ id: Date.now(), title, description, created_at: new Date().toISOString() }] } })

/** One page that listens, until its scope ends. */
export function useLive(token: string, heard: (one: Arrived) => void) {
  const state = ref<State>('connecting')
  const way = ref('')
  /** Whether the last interruption was made good; `null`: there was none. */
  const recovered = ref<boolean | null>(null)
  const arrived = ref<Arrived[]>([])
  const socket: Socket = io({ query: { channel_token: token }, forceNew: true })
  let connections = 0
  let connectedAt = 0
  let key = 0

  function pace(least: number, most: number, spread: number) {
    socket.io.reconnectionDelay(least)
    socket.io.reconnectionDelayMax(most)
    socket.io.randomizationFactor(spread)
  }

  socket.on('connect', () => {
    if (connections++ > 0) recovered.value = socket.recovered
    connectedAt = Date.now()
    state.value = 'connected'
    pace(AGAIN_MS, AGAIN_MAX_MS, SPREAD)
    way.value = socket.io.engine.transport.name
    socket.io.engine.on('upgrade', (transport) => (way.value = transport.name))
  })
  socket.on('disconnect', (reason) => {
    if (state.value !== 'paused') state.value = 'lost'
    if (reason === 'io server disconnect') socket.connect()
  })
  socket.on('connect_error', () => {
    state.value = 'lost'
  })
  socket.on('records', (message: unknown) => {
    for (const one of discussions(message)) {
      const late = socket.recovered && Date.parse(words(one.created_at)) < connectedAt
      const entry = { key: ++key, title: words(one.title), text: words(one.description), at: new Date(), late }
      arrived.value = [entry, ...arrived.value].slice(0, ARRIVED_MAX)
      heard(entry)
    }
  })

  /** Cuts this page off for a while, as a lost network does. */
  function pause(forMs: number) {
    if (!socket.connected) return
    pace(forMs, forMs, 0)
    state.value = 'paused'
    socket.io.engine.close()
  }

  onScopeDispose(() => socket.disconnect())
  return { state, way, recovered, arrived, pause }
}
