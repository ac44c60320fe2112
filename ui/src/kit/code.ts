// A join code as people type it: any case, with or without the dash, shown in two groups.
export const CODE_LETTERS = 8

export function plainCode(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9]/g, '').slice(0, CODE_LETTERS)
}

export function grouped(code: string): string {
  return code.length > CODE_LETTERS / 2 ? `${code.slice(0, CODE_LETTERS / 2)}-${code.slice(CODE_LETTERS / 2)}` : code
}
