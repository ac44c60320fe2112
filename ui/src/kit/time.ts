// Times in the reader's language, and a clock that ticks for whoever shows one.
import { onScopeDispose, ref, type Ref } from 'vue'

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400], ['hour', 3_600], ['minute', 60]]

export function ago(when: string, now: number, language: string): string {
  const at = Date.parse(when)
  if (Number.isNaN(at)) return ''
  const passedS = Math.max(0, (now - at) / 1000)
  if (passedS > 7 * 86_400) return new Intl.DateTimeFormat(language, { dateStyle: 'medium' }).format(at)
  const words = new Intl.RelativeTimeFormat(language, { numeric: 'auto' })
  for (const [unit, size] of UNITS) {
    if (passedS >= size) return words.format(-Math.floor(passedS / size), unit)
  }
  return words.format(0, 'second')
}

export function exactly(when: string, language: string): string {
  const at = Date.parse(when)
  return Number.isNaN(at) ? '' : new Intl.DateTimeFormat(language, { dateStyle: 'full', timeStyle: 'short' }).format(at)
}

/** A moment as people say it: the time today, else with its day. */
export function moment(when: string | Date, language: string): string {
  const at = new Date(when)
  if (Number.isNaN(at.getTime())) return ''
  const today = at.toDateString() === new Date().toDateString()
  return new Intl.DateTimeFormat(language, today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' }).format(at)
}

export function useNow(everyMs: number): Ref<number> {
  const now = ref(Date.now())
  const timer = setInterval(() => (now.value = Date.now()), everyMs)
  onScopeDispose(() => clearInterval(timer))
  return now
}

/** Asks again and again while the page is looked at. */
export function useEvery(everyMs: number, ask: () => void): void {
  const timer = setInterval(() => {
    if (document.visibilityState === 'visible') ask()
  }, everyMs)
  const back = () => document.visibilityState === 'visible' && ask()
  document.addEventListener('visibilitychange', back)
  onScopeDispose(() => {
    clearInterval(timer)
    document.removeEventListener('visibilitychange', back)
  })
}
