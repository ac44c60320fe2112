// What the host's screen knows: the office, the invitation in force, who is here. Asked again while it is looked at.
import { computed, type Ref, ref } from 'vue'
import * as api from '@/api/office'
import { list, type RecordRow } from '@/api/records'

type InviteRole = 'editor' | 'viewer'

/** Actions of the host, and whether the last one failed. */
function useActions() {
  /** Why the last action failed; stays until the next one, or until it is closed. */
  const notDone = ref<unknown>(null)
  const working = ref(0)
  const busy = computed(() => working.value > 0)
  // grows with each action: what was asked before it no longer holds
  let actions = 0

  async function guarded(work: () => Promise<void>) {
    actions += 1
    working.value += 1
    notDone.value = null
    try {
      await work()
    } catch (error) {
      notDone.value = error
    } finally {
      working.value -= 1
    }
  }
  return { busy, notDone, guarded, count: () => actions }
}

/** The invitation in force for a role; made when there is none. */
function useInvitations(role: Ref<InviteRole>) {
  const alive = (invite: api.Invitation) => Date.parse(invite.expires_at) > Date.now() + 1000

  async function findOrInvite(wanted: InviteRole) {
    const all = (await api.invitations()).filter((i) => i.role === wanted && alive(i))
    all.sort((a, b) => b.expires_at.localeCompare(a.expires_at))
    return all[0] ?? (await api.invite(wanted))
  }

  // shared by whoever asks meanwhile: two that find none would make two codes, and nobody would see one of them
  const finding = new Map<InviteRole, Promise<api.Invitation>>()
  function find() {
    const wanted = role.value
    const found = finding.get(wanted) ?? findOrInvite(wanted).finally(() => finding.delete(wanted))
    finding.set(wanted, found)
    return found
  }
  return { find, underWay: () => finding.get(role.value) }
}

export function useOffice() {
  const office = ref<api.Office | null>(null)
  const people = ref<api.Person[]>([])
  const records = ref<RecordRow[] | null>(null)
  const invitation = ref<api.Invitation | null>(null)
  const role = ref<InviteRole>('editor')
  /** Why what is on the screen could not be renewed; gone when it can. */
  const failed = ref<unknown>(null)
  const { busy, notDone, count, guarded } = useActions()
  const { find: findInvitation, underWay } = useInvitations(role)

  async function look() {
    const before = count()
    const stale = () => count() !== before
    // one part that fails does not take the others from the screen
    const [now, who, all] = await Promise.allSettled([api.office(), api.people(), list()])
    if (stale()) return
    if (who.status === 'fulfilled') people.value = who.value
    if (all.status === 'fulfilled') records.value = all.value.sort((a, b) => b.updated_at.localeCompare(a.updated_at))
    const lost = [now, who, all].find((part) => part.status === 'rejected')
    failed.value = lost?.reason ?? null
    if (now.status === 'rejected') return
    const urls = (one: api.Office) => one.addresses.map((address) => address.url).join()
    const moved = office.value !== null && urls(office.value) !== urls(now.value)
    office.value = now.value
    if (!now.value.sharing || (invitation.value !== null && !moved)) return
    try {
      const found = await findInvitation()
      if (!stale()) invitation.value = found
    } catch (error) {
      if (!stale()) failed.value = error
    }
  }

  let looking: Promise<void> | null = null
  /** One at a time, and none during an action, which brings its own answer. */
  function refresh() {
    if (!busy.value) looking ??= look().finally(() => (looking = null))
    return looking ?? Promise.resolve()
  }

  return {
    office, people, records, invitation, role, busy, failed, notDone, refresh,
    forget: () => (notDone.value = null),
    share: (on: boolean) =>
      guarded(async () => {
        office.value = await api.share(on)
        invitation.value = null
        if (on) invitation.value = await findInvitation()
      }),
    renew: () =>
      guarded(async () => {
        // one that is just being made is withdrawn, too
        const old = await (underWay() ?? invitation.value)
        invitation.value = await api.invite(role.value)
        if (old) await api.withdraw(old.id).catch(() => undefined)
      }),
    choose: (next: InviteRole) =>
      guarded(async () => {
        role.value = next
        invitation.value = await findInvitation()
      }),
    dismiss: (id: string) =>
      guarded(async () => {
        await api.dismiss(id)
        people.value = await api.people()
      }),
    nameOffice: (name: string) =>
      guarded(async () => {
        const said = await api.nameOffice(name)
        // only the name: sharing may have been switched meanwhile
        office.value = { ...(office.value ?? said), name: said.name }
      }),
  }
}
