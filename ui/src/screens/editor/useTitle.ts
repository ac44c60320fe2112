// The title of an open record: what is typed, what the office's computer keeps, and why they differ.
import { onScopeDispose, ref } from 'vue'
import { retitle } from '@/api/records'
import { useSay } from '@/i18n/say'
import { codeOf } from '@/api/client'

export function useTitle(id: string) {
  const say = useSay()
  const title = ref('')
  const kept = ref('')
  const failed = ref('')
  let typing = false
  let sending: string | null = null
  /** The office's computer did not answer: it is sent again once it does. */
  let waits = false
  /** Counts what was sent: an answer that was asked for before knows nothing of it. */
  let turn = 0

  /** What is called before asking the office's computer, and gives back what is called with its answer. */
  function asking(): (said: string) => void {
    const asked = turn
    return (said) => {
      if (asked !== turn || sending !== null) return
      kept.value = said
      if (waits && !typing) void keep()
      else if (!typing && !failed.value) title.value = said
    }
  }

  async function keep() {
    typing = false
    const next = title.value.trim()
    if (next === sending) return
    if (!next || next === kept.value) {
      title.value = kept.value
      failed.value = ''
      waits = false
      return
    }
    sending = next
    waits = false
    turn += 1
    try {
      kept.value = (await retitle(id, next)).title
      if (sending !== next) return
      failed.value = ''
      if (!typing) title.value = kept.value
    } catch (error) {
      if (sending !== next) return
      failed.value = say.failure(error)
      waits = codeOf(error) === 'unreachable'
    } finally {
      if (sending === next) sending = null
      turn += 1
    }
  }

  function undo() {
    title.value = kept.value
  }

  function state(): 'sending' | 'failed' | 'kept' {
    if (sending !== null) return 'sending'
    return failed.value ? 'failed' : 'kept'
  }

  /** What is typed and not on its way yet is lost with the page, too. */
  function warn(event: BeforeUnloadEvent) {
    const next = title.value.trim()
    if (state() !== 'kept' || (typing && next && next !== kept.value)) event.preventDefault()
  }
  window.addEventListener('beforeunload', warn)
  onScopeDispose(() => window.removeEventListener('beforeunload', warn))

  return { title, failed, state, asking, keep, undo, type: () => (typing = true) }
}
