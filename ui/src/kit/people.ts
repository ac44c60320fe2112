// How a person looks on the screen: initials, and a colour on which white text has a contrast of at least 4.5:1.
export const PALETTE = [
  '#a8324a', '#8a4b12', '#6b5a00', '#3f6b1f', '#0f6b52', '#0b6a7d',
  '#1f5fa8', '#4a52b5', '#7440a8', '#9a2f86', '#6a4a3a', '#4b5563',
] as const

export function colourOf(id: string): string {
  let sum = 7
  for (const letter of id) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0
  return PALETTE[sum % PALETTE.length] ?? PALETTE[0]
}

export function initialsOf(name: string): string {
  const words = name.trim().split(/[\s-]+/).filter(Boolean)
  const first = [...(words[0] ?? '?')][0] ?? '?'
  const last = words.length > 1 ? ([...(words.at(-1) ?? '')][0] ?? '') : ''
  return (first + last).toLocaleUpperCase()
}
