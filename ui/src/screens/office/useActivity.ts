// What is going on, asked again every two seconds while it is looked at; sums become rates here.
import { computed, onMounted, onScopeDispose, ref } from 'vue'
import * as api from '@/api/activity'
import { useEvery } from '@/kit/time'

const EVERY_MS = 2_000
/** The second answer, which makes the first rate, is asked for sooner. */
const SECOND_MS = 700
/** Answers further apart say nothing of now. */
const APART_MAX_MS = 10_000
export const KEPT = 60

export function useActivity() {
  const now = ref<api.Activity | null>(null)
  const failed = ref<unknown>(null)
  const heardAt = ref<Date | null>(null)
  const received = ref<number[]>([])
  const sent = ref<number[]>([])
  let asking = false

  function note(next: api.Activity, last: api.Activity | null) {
    const passedMs = last ? next.at_ms - last.at_ms : 0
    const again = last !== null && last.started_at === next.started_at
    if (!again || passedMs > APART_MAX_MS) [received.value, sent.value] = [[], []]
    else if (passedMs > 0) {
      const rate = (is: number, was: number) => Math.max(0, ((is - was) * 1000) / passedMs)
      received.value = [...received.value, rate(next.messages.received, last.messages.received)].slice(-KEPT)
      sent.value = [...sent.value, rate(next.messages.sent, last.messages.sent)].slice(-KEPT)
    }
  }

  async function refresh() {
    if (asking) return
    asking = true
    try {
      const next = await api.activity()
      note(next, now.value)
      now.value = next
      heardAt.value = new Date()
      failed.value = null
    } catch (error) {
      failed.value = error
    } finally {
      asking = false
    }
  }

  let second: ReturnType<typeof setTimeout> | undefined
  onMounted(async () => {
    await refresh()
    second = setTimeout(() => void refresh(), SECOND_MS)
  })
  onScopeDispose(() => clearTimeout(second))
  useEvery(EVERY_MS, () => void refresh())

  const rate = computed(() => ({ received: received.value.at(-1) ?? null, sent: sent.value.at(-1) ?? null }))
  return { now, failed, heardAt, rate, received, sent }
}
