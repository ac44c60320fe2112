// The one way to the office's computer: bounded in time, and every failure has a code that the texts know.
const TIMEOUT_MS = 10_000

export class ApiError extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly retryAfterS: number | null = null,
  ) {
    super(code)
  }
}

interface Ask {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  body?: unknown
  raw?: { type: string; data: BodyInit }
  timeoutMs?: number
}

async function failure(answer: Response): Promise<ApiError> {
  const said: unknown = await answer.json().catch(() => null)
  const code = (said as { error?: { code?: unknown } } | null)?.error?.code
  const wait = Number(answer.headers.get('retry-after'))
  return new ApiError(typeof code === 'string' ? code : 'unexpected', answer.status, Number.isFinite(wait) && wait > 0 ? wait : null)
}

let loggedOut: () => void = () => undefined
/** What happens when the office's computer says, in the middle of the work, that nobody is signed in here any more. */
export function whenLoggedOut(then: () => void): void {
  loggedOut = then
}

export async function ask<T>(path: string, { method = 'GET', body, raw, timeoutMs = TIMEOUT_MS }: Ask = {}): Promise<T> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), timeoutMs)
  const headers: Record<string, string> = { accept: 'application/json' }
  let data: BodyInit | undefined
  if (raw) {
    headers['content-type'] = raw.type
    data = raw.data
  } else if (body !== undefined) {
    headers['content-type'] = 'application/json'
    data = JSON.stringify(body)
  }
  try {
    const answer = await fetch(path, { method, headers, body: data, signal: stop.signal, credentials: 'same-origin', cache: 'no-store' })
    if (answer.status === 401) loggedOut()
    if (!answer.ok) throw await failure(answer)
    return (answer.status === 204 ? undefined : await answer.json()) as T
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw new ApiError('unreachable', 0)
  } finally {
    clearTimeout(timer)
  }
}

export function codeOf(error: unknown): string {
  return error instanceof ApiError ? error.code : 'unexpected'
}
