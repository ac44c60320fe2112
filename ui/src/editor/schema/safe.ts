// Which addresses a link or picture may open. The document keeps whatever it holds; the page just does not open it.
const SAFE = /^(https?:|mailto:|tel:|\/(?!\/)|#|\.{1,2}\/|[^:/?#\s]+(?:[/?#]|$))/i

export function safeHref(href: unknown): string | undefined {
  if (typeof href !== 'string') return undefined
  // eslint-disable-next-line no-control-regex -- browsers drop control characters inside a scheme
  const bare = href.replace(/[\u0000-\u0020]/g, '')
  return SAFE.test(bare) ? href : undefined
}

const SCHEME = /^[a-z][a-z0-9+-]*:/i
const PLACE_HERE = /^[/#.]/
/** A name with a dot, perhaps a port, perhaps a page: `www.town.example:8080/news`. */
const HOST = /^[^\s/?#@:.]+(\.[^\s/?#@:.]+)+(:\d+)?([/?#]\S*)?$/

/** A link as people type it: `www.town.example` means that web page, and not one beside this text. */
export function typedHref(typed: string): string | undefined {
  const bare = typed.trim()
  if (SCHEME.test(bare) || PLACE_HERE.test(bare)) return safeHref(bare)
  return HOST.test(bare) ? `https://${bare}` : undefined
}
