// Whether a screen takes long to arrive, or does not: then the page says so instead of waiting in silence.
import { ref } from 'vue'
import { office } from '@/api/office'
import { router } from '@/router'

const SLOW_MS = 6_000

export const slowLoad = ref(false)
/** The address of a screen whose code did not arrive, as when the office's computer was switched off. */
export const missing = ref<string | null>(null)
let timer: ReturnType<typeof setTimeout> | undefined

router.beforeEach(() => {
  clearTimeout(timer)
  timer = setTimeout(() => (slowLoad.value = true), SLOW_MS)
})
router.afterEach((_to, _from, failure) => {
  clearTimeout(timer)
  slowLoad.value = false
  if (!failure) missing.value = null
})
router.onError((_error, to) => {
  clearTimeout(timer)
  slowLoad.value = false
  missing.value = to.fullPath
})

/** Loads the page afresh there, since some browsers remember what did not arrive; never before the office answers. */
export async function openMissing(): Promise<boolean> {
  try {
    await office()
  } catch {
    return false
  }
  if (missing.value !== null) location.assign(missing.value)
  return true
}
