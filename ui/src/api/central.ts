// The central Redis: which one, how it is, another one. A password goes in and never comes back.
import { ask } from './client'

export interface Central {
  url: string | null
  password_set: boolean
  source: 'configuration' | 'settings' | 'none'
  state: {
    kind: 'embedded' | 'central'
    up: boolean
    since: string
    away_since: string | null
    last_error: string | null
    last_error_code: string | null
    waiting: number
  }
}
export interface Choice { url: string | null; password?: string }
export interface Tried { ok: boolean; why: string | null; code: string | null }

const path = '/api/v1/settings/redis'
const TRY_TIMEOUT_MS = 20_000

export const central = () => ask<{ redis: Central }>(path).then((r) => r.redis)
export const choose = (choice: Choice) => ask<{ redis: Central }>(path, { method: 'PUT', body: choice }).then((r) => r.redis)
export const tryOut = (choice: Choice) => ask<Tried>(`${path}/test`, { method: 'POST', body: choice, timeoutMs: TRY_TIMEOUT_MS })
