// What the page asks the office's computer about records.
import { ask } from './client'

export interface RecordRow {
  id: string
  title: string
  type: string
  status: string
  created_at: string
  updated_at: string
  people: number
}
export interface Draft { state: 'current' | 'behind' | 'failed'; why: string | null }

const IMPORT_TIMEOUT_MS = 60_000
const path = (id: string) => `/api/v1/records/${encodeURIComponent(id)}`

export const list = () => ask<{ records: RecordRow[] }>('/api/v1/records').then((r) => r.records)
export const create = (title: string, type: string) =>
  ask<{ record: RecordRow }>('/api/v1/records', { method: 'POST', body: { title, type } }).then((r) => r.record)
export const get = (id: string) => ask<{ record: RecordRow; draft?: Draft }>(path(id))
export const retitle = (id: string, title: string) =>
  ask<{ record: RecordRow }>(path(id), { method: 'PATCH', body: { title } }).then((r) => r.record)
export const importFile = (file: File) =>
  ask<{ record: RecordRow }>(`/api/v1/records/import?file_name=${encodeURIComponent(file.name)}`, {
    method: 'POST',
    raw: { type: 'text/markdown', data: file },
    timeoutMs: IMPORT_TIMEOUT_MS,
  }).then((r) => r.record)
export const exportUrl = (id: string) => `${path(id)}/export`
