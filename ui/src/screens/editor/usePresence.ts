// Who else is in the record, from what each connection says of itself; arrivals and departures are announced.
import type { HocuspocusProvider } from '@hocuspocus/provider'
import { onScopeDispose, ref } from 'vue'

export interface Present { id: string; name: string }

const NAME_LETTERS = 60
const SETTLE_MS = 2_000

function read(states: Map<number, Record<string, unknown>>, own: string): Map<string, Present> {
  const found = new Map<string, Present>()
  for (const state of states.values()) {
    const user = state.user as { id?: unknown; name?: unknown } | undefined
    if (typeof user?.name !== 'string' || !user.name) continue
    const id = typeof user.id === 'string' ? user.id : user.name
    if (id !== own) found.set(id, { id, name: user.name.slice(0, NAME_LETTERS) })
  }
  return found
}

export function usePresence(provider: HocuspocusProvider, own: string, connected: () => boolean, say: (what: 'joined' | 'left', name: string) => void) {
  const people = ref<Present[]>([])
  let told = new Map<string, Present>()
  let first = true
  let timer: ReturnType<typeof setTimeout> | undefined

  function tell() {
    timer = undefined
    const now = new Map(people.value.map((p) => [p.id, p]))
    if (!connected()) return
    if (!first) {
      for (const [id, person] of now) if (!told.has(id)) say('joined', person.name)
      for (const [id, person] of told) if (!now.has(id)) say('left', person.name)
    }
    first = false
    told = now
  }
  function changed() {
    const now = [...read(provider.awareness?.getStates() ?? new Map(), own).values()]
    const same = now.length === people.value.length && now.every((p, i) => p.id === people.value[i]?.id && p.name === people.value[i]?.name)
    if (!same) people.value = now
    timer ??= setTimeout(tell, SETTLE_MS)
  }
  provider.on('awarenessChange', changed)
  changed()
  onScopeDispose(() => {
    provider.off('awarenessChange', changed)
    clearTimeout(timer)
  })
  return people
}
