// Asks before a record is left while something of it has not reached the office's computer.
import { useI18n } from 'vue-i18n'
import { onBeforeRouteLeave, onBeforeRouteUpdate } from 'vue-router'
import { soon } from '@/editor/kept'
import type { Session } from '@/editor/session'
import { user } from '@/session'
import { confirmed } from '@/shell/confirm'

const SENDING_MS = 1_500

export function useLeaving(session: () => Session | null, title: () => 'sending' | 'failed' | 'kept') {
  const { t } = useI18n()

  async function unsent(): Promise<number> {
    const open = session()
    if (open === null || open.readOnly.value || open.refusal.value === 'gone') return 0
    if (open.pill.value === 'sending') await soon(() => open.unsent.value === 0, SENDING_MS)
    return open.unsent.value
  }

  async function may(): Promise<boolean> {
    // who has left the office, or joins again, was told already
    if (user.value === null) return true
    const changes = await unsent()
    if (title() === 'sending') await soon(() => title() !== 'sending', SENDING_MS)
    if (changes === 0 && title() === 'kept') return true
    const kept = session()?.onDevice.value ?? false
    const help = changes === 0 ? t('editor.leaveTitle') : t(kept ? 'editor.leaveKept' : 'editor.leaveLost', changes)
    return confirmed({ title: t('editor.leaveAsk'), help, yes: t('app.leaveAnyway'), no: t('app.stay') })
  }

  onBeforeRouteLeave(may)
  onBeforeRouteUpdate((to, from) => to.params.id === from.params.id || may())
}
