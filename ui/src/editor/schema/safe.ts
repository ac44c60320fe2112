// Which addresses a link or picture may open. The document keeps whatever it holds; the page just does not open it.
const SAFE = /^(https?:|mailto:|tel:|\/(?!\/)|#|\.{0,2}\/|[^:/?#\s]+(?:[/?#]|$))/i

export function safeHref(href: unknown): string | undefined {
  if (typeof href !== 'string') return undefined
  // eslint-disable-next-line no-control-regex -- browsers drop control characters inside a scheme
  const bare = href.replace(/[\u0000-\u0020]/g, '')
  return SAFE.test(bare) ? href : undefined
}
