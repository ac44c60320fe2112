// The page's one polite live region: what is said here is read aloud, a few times a minute at most.
import { ref } from 'vue'

const GATHER_MS = 800
const waiting: string[] = []
let timer: ReturnType<typeof setTimeout> | null = null

export const announced = ref('')

export function announce(text: string): void {
  if (!waiting.includes(text)) waiting.push(text)
  timer ??= setTimeout(() => {
    announced.value = waiting.splice(0).join(' ')
    timer = null
  }, GATHER_MS)
}
