// What is going on in the office, as its computer counts it: sums since the start.
import { ask } from './client'

export interface Counted { reason: string; count: number }
export interface DocumentRoom { name: string; record: string | null; title: string | null; people: number; names: string[] }
export interface ChannelRoom { space: string; name: string; people: number; connections: number }
export interface Activity {
  at_ms: number
  started_at: string
  people: { in_documents: number; in_channels: number; connections: number }
  documents: { rooms: DocumentRoom[]; more: number }
  channels: { rooms: ChannelRoom[]; more: number }
  messages: { received: number; sent: number; edits_saved: number; kept: number; passing: number; delivered: number }
  recoveries: { taken_up: number; not_taken_up: Counted[]; new: number }
  bus: {
    kind: 'embedded' | 'central'
    up: boolean
    since: string
    last_error: string | null
    last_error_code: string | null
    waiting: number
    received: number
    sent: number
  }
  refused: { reasons: Counted[]; other: number }
  store: { state: 'writable' | 'full' | 'faulty'; waiting: number }
}

/** An answer that comes later than this is none: the next one is asked for soon. */
const TIMEOUT_MS = 5_000

export const activity = () => ask<Activity>('/api/v1/activity', { timeoutMs: TIMEOUT_MS })
