// What the reader is told when something fails, and the words for kinds and statuses that this page knows.
import { useI18n } from 'vue-i18n'
import { codeOf } from '@/api/client'

export function useSay() {
  const { t, te } = useI18n()
  const known = (group: string, word: string) => {
    const key = `${group}.${word}`
    return te(key) ? t(key) : word
  }
  return {
    failure: (error: unknown) => {
      const key = `fail.${codeOf(error)}`
      return te(key) ? t(key) : t('fail.unexpected')
    },
    type: (word: string) => known('type', word),
    status: (word: string) => known('status', word),
  }
}
