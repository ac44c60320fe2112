// What the host's screen knows: the office, the invitation in force, who is here. Asked again while it is looked at.
import { computed, ref } from 'vue'
import * as api from '@/api/office'
import { list, type RecordRow } from '@/api/records'

type InviteRole = 'editor' | 'viewer'

export function useOffice() {
  const office = ref<api.Office | null>(null)
  const people = ref<api.Person[]>([])
  const records = ref<RecordRow[] | null>(null)
  const invitation = ref<api.Invitation | null>(null)
  const role = ref<InviteRole>('editor')
  const busy = ref(false)
  const failed = ref<unknown>(null)

  const sharing = computed(() => office.value?.sharing ?? false)

  async function guarded(work: () => Promise<void>) {
    busy.value = true
    failed.value = null
    try {
      await work()
    } catch (error) {
      failed.value = error
    } finally {
      busy.value = false
    }
  }

  const alive = (invite: api.Invitation) => Date.parse(invite.expires_at) > Date.now() + 1000

  async function findInvitation() {
    const all = (await api.invitations()).filter((i) => i.role === role.value && alive(i))
    all.sort((a, b) => b.expires_at.localeCompare(a.expires_at))
    invitation.value = all[0] ?? (await api.invite(role.value))
  }

  async function refresh() {
    // one part that fails does not take the others from the screen
    const [now, who, all] = await Promise.allSettled([api.office(), api.people(), list()])
    if (who.status === 'fulfilled') people.value = who.value
    if (all.status === 'fulfilled') records.value = all.value.sort((a, b) => b.updated_at.localeCompare(a.updated_at))
    const lost = [now, who, all].find((part) => part.status === 'rejected')
    failed.value = lost?.reason ?? null
    if (now.status === 'rejected') return
    const urls = (one: api.Office) => one.addresses.map((address) => address.url).join()
    const moved = office.value !== null && urls(office.value) !== urls(now.value)
    office.value = now.value
    if (now.value.sharing && (invitation.value === null || moved)) await findInvitation().catch((error: unknown) => (failed.value = error))
  }

  return {
    office, people, records, invitation, role, busy, failed, sharing, refresh,
    share: (on: boolean) =>
      guarded(async () => {
        office.value = await api.share(on)
        invitation.value = null
        if (on) await findInvitation()
      }),
    renew: () =>
      guarded(async () => {
        const old = invitation.value
        invitation.value = await api.invite(role.value)
        if (old) await api.withdraw(old.id).catch(() => undefined)
      }),
    choose: (next: InviteRole) =>
      guarded(async () => {
        role.value = next
        await findInvitation()
      }),
    dismiss: (id: string) =>
      guarded(async () => {
        await api.dismiss(id)
        people.value = await api.people()
      }),
    nameOffice: (name: string) =>
      guarded(async () => {
        office.value = await api.nameOffice(name)
      }),
  }
}
