// Who uses this page: the host's window logs in with the one-time word in its link, everybody else by joining.
import { computed, ref } from 'vue'
import { ApiError } from '@/api/client'
import * as api from '@/api/office'
import { i18n } from '@/i18n'
import { recall, remember } from '@/kit/remembered'

export const user = ref<api.User | null>(null)
export const host = computed(() => user.value?.role === 'admin')
export const mayWrite = computed(() => user.value !== null && user.value.role !== 'viewer')
export const unreachable = ref(false)
export const linkUsed = ref(false)
/** Somebody left, and the office's computer does not know yet: what this browser shows it is still theirs. */
export const leaving = ref(recall('leaving') !== null)

let asked: Promise<void> | null = null

function takeOnce(): string | null {
  const said = new URLSearchParams(location.hash.slice(1)).get('once')
  if (said !== null) history.replaceState(history.state, '', location.pathname + location.search)
  return said
}

// taken before the router looks at the address, so that it comes back nowhere
let onceWord = takeOnce()

/** The office's computer is told of who left before it is asked who this is: else the next one here would be them. */
async function logOut(): Promise<boolean> {
  try {
    await api.logout()
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) return false
  }
  note(false)
  return true
}

function note(left: boolean): void {
  leaving.value = left
  remember('leaving', left ? '1' : null)
}

async function find(): Promise<void> {
  if (leaving.value && !(await logOut())) {
    unreachable.value = true
    return
  }
  const token = onceWord
  onceWord = null
  if (token !== null) {
    try {
      user.value = await api.once(token, i18n.global.t('role.admin'))
      return
    } catch (error) {
      linkUsed.value = error instanceof ApiError && error.code !== 'unreachable'
    }
  }
  try {
    user.value = await api.me()
    unreachable.value = false
  } catch (error) {
    user.value = null
    unreachable.value = error instanceof ApiError && error.status !== 401
  }
}

/** Answers once it is known who this is; asks the office's computer only the first time, or after a failure. */
export function known(): Promise<void> {
  if (asked === null || unreachable.value) asked = find()
  return asked
}

export function loggedIn(as: api.User): void {
  note(false)
  user.value = as
  unreachable.value = false
  asked = Promise.resolve()
}

export function ended(): void {
  user.value = null
}

export async function leave(): Promise<void> {
  note(true)
  unreachable.value = !(await logOut())
  user.value = null
}
