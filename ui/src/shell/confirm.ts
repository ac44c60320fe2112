// One question at a time, answered with yes or no.
import { shallowRef } from 'vue'

export interface Question { title: string; help: string; yes: string; no: string }

export const question = shallowRef<(Question & { answer: (yes: boolean) => void }) | null>(null)

export function confirmed(asked: Question): Promise<boolean> {
  question.value?.answer(false)
  return new Promise((done) => {
    const answer = (yes: boolean) => {
      question.value = null
      done(yes)
    }
    question.value = { ...asked, answer }
  })
}
