// What the page asks the office's computer about people, codes and the office itself.
import { ask } from './client'

export type Role = 'admin' | 'editor' | 'viewer'
export interface User { id: string; name: string; role: Role }
export interface Address { url: string; ip: string; interface: string; main: boolean }
export interface Office {
  id?: string
  name: string
  version: string
  sharing: boolean
  addresses: Address[]
  /** An address of the network could not be opened. */
  shut: boolean
  local_url: string | null
  store: 'writable' | 'full' | 'faulty'
}
export interface Picture { size: number; path: string }
export interface Invitation {
  id: string
  code: string
  url: string
  role: Role
  expires_at: string
  qr: Picture
  /** The same for each address of the office. */
  links: { address: string; url: string; qr: Picture }[]
}
export interface Person { id: string; name: string; role: Role; documents: string[]; online: boolean }

export const me = () => ask<{ user: User }>('/api/v1/auth/me').then((r) => r.user)
/** `name`: what a host without a name is called in this page's language. */
export const once = (token: string, name: string) => ask<{ user: User }>('/api/v1/auth/once', { method: 'POST', body: { once: token, name } }).then((r) => r.user)
export const logout = () => ask<void>('/api/v1/auth/logout', { method: 'POST', body: {} })
export const rename = (name: string) => ask<{ user: User }>('/api/v1/auth/me', { method: 'PATCH', body: { name } }).then((r) => r.user)
export const join = (code: string, name: string) => ask<{ user: User }>('/api/v1/join', { method: 'POST', body: { code, name } }).then((r) => r.user)
export const office = () => ask<Office>('/api/v1/office')
export const nameOffice = (name: string) => ask<Office>('/api/v1/office', { method: 'PATCH', body: { name } })
export const share = (on: boolean) => ask<Office>('/api/v1/office/sharing', { method: 'POST', body: { on } })
export const invitations = () => ask<{ invitations: Invitation[] }>('/api/v1/invitations').then((r) => r.invitations)
export const invite = (role: Role) => ask<Invitation>('/api/v1/invitations', { method: 'POST', body: { role } })
export const withdraw = (id: string) => ask<void>(`/api/v1/invitations/${encodeURIComponent(id)}`, { method: 'DELETE' })
export const people = () => ask<{ people: Person[] }>('/api/v1/people').then((r) => r.people)
export const dismiss = (id: string) => ask<void>(`/api/v1/people/${encodeURIComponent(id)}`, { method: 'DELETE' })
