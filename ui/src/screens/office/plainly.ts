// Names of rooms, reasons and troubles in the reader's words. What has no words is shown as it is.
import { useI18n } from 'vue-i18n'

/** Forms of room names, the first that fits counts. */
const ROOMS: readonly [RegExp, string][] = [
  [/^notice$/, 'room.notice'],
  [/^group-(.+)$/, 'room.group'],
  [/^user-(.+)$/, 'room.user'],
  [/^community:([^:]+):admins$/, 'room.admins'],
  [/^community:([^:]+):role:.+$/, 'room.role'],
  [/^community:([^:]+)$/, 'room.community'],
  [/^board:(.+)\/post:.+$/, 'room.post'],
  [/^board:(.+)\/typing$/, 'room.typing'],
  [/^board:(.+)$/, 'room.board'],
]

export function usePlainly() {
  const { t, te } = useI18n()
  const known = (group: string, word: string) => (te(`${group}.${word}`) ? t(`${group}.${word}`) : word)
  return {
    room(name: string): string {
      const plain = name.replace(/^published\//, '')
      for (const [form, key] of ROOMS) {
        const found = form.exec(plain)
        if (found) return t(key, { id: found[1] ?? '' })
      }
      return name
    },
    reason: (word: string) => known('reason', word),
    back: (word: string) => known('back', word),
    why: (code: string | null, text: string | null) => (code !== null && te(`why.${code}`) ? t(`why.${code}`) : t('why.other', { why: text ?? '' })),
  }
}
