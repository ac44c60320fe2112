// The page's one polite live region: what is said here is read aloud, a few times a minute at most.
import { ref } from 'vue'

const GATHER_MS = 800
const KEPT_MS = 1_000
const waiting: string[] = []
let timer: ReturnType<typeof setTimeout> | null = null

export const announced = ref('')

export function announce(text: string): void {
  if (!waiting.includes(text)) waiting.push(text)
  timer ??= setTimeout(say, GATHER_MS)
}

function say(): void {
  announced.value = waiting.splice(0).join(' ')
  timer = setTimeout(clear, KEPT_MS)
}

/** Without this the same words, said again, would be no change of the page, and not be read aloud. */
function clear(): void {
  announced.value = ''
  timer = waiting.length > 0 ? setTimeout(say, GATHER_MS) : null
}
