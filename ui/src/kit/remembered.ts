// Small things this device remembers. A browser may refuse storage altogether; then it simply forgets.
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`townhall.${key}`)
  } catch {
    return null
  }
}

export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`townhall.${key}`)
    else localStorage.setItem(`townhall.${key}`, value)
  } catch {
    // forgotten at the next visit
  }
}
