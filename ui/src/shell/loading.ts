// Whether a screen takes long to arrive: then the page says so instead of waiting in silence.
import { ref } from 'vue'
import { router } from '@/router'

const SLOW_MS = 6_000

export const slowLoad = ref(false)
let timer: ReturnType<typeof setTimeout> | undefined

router.beforeEach(() => {
  clearTimeout(timer)
  timer = setTimeout(() => (slowLoad.value = true), SLOW_MS)
})
router.afterEach(() => {
  clearTimeout(timer)
  slowLoad.value = false
})
// a screen's code did not arrive, as when the office's computer was switched off: load the page afresh when it is asked for again
router.onError((_error, to) => {
  if (navigator.onLine) window.setTimeout(() => location.assign(to.fullPath), SLOW_MS)
})
