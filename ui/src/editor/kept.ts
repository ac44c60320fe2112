// What this device keeps of records: for whom, and whether something of it has not reached the office's computer yet.
// Each person has copies of their own, so that nobody sends what somebody else typed on the same device.
import { office } from '@/api/office'
import { recall, remember } from '@/kit/remembered'

export interface Place { office: string; person: string; record: string }
export interface Unsent extends Place { changes: number; name: string }
/** One opening's own note of what it has not sent. */
export interface Mark extends Unsent { key: string; noted: string }

const STORED = 'townhall.'
const UNSENT = 'unsent.'
const DATABASES = 'townhall/'
const PAUSE_MS = 50

const keyOf = (at: Place, opening: string) => UNSENT + [at.office, at.person, at.record, opening].map(encodeURIComponent).join('/')
export const databaseOf = (at: Place) => `${DATABASES}${at.office}/${at.person}/record:${at.record}`

/** Which office this is: remembered, since the office may be away when it is needed. */
export async function officeKey(): Promise<string> {
  try {
    const key = (await office()).id ?? location.host
    remember(`office.${location.host}`, key)
    return key
  } catch {
    return recall(`office.${location.host}`) ?? location.host
  }
}

/** `opening`: each one notes only what it knows itself, or two windows would erase each other's notes. */
export function noteUnsent(at: Place, opening: string, changes: number, name: string): void {
  remember(keyOf(at, opening), changes > 0 ? JSON.stringify({ changes, name }) : null)
}

function read(key: string): Mark | null {
  const [office, person, record] = key.slice(UNSENT.length).split('/').map(decodeURIComponent)
  if (!office || !person || !record) return null
  try {
    const noted = recall(key) ?? ''
    const { changes, name } = JSON.parse(noted) as { changes?: unknown; name?: unknown }
    return { office, person, record, changes: Number(changes) || 0, name: String(name), key, noted }
  } catch {
    return null
  }
}

function marks(): Mark[] {
  try {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(STORED + UNSENT))
      .map((key) => read(key.slice(STORED.length)))
      .filter((found) => found !== null && found.changes > 0) as Mark[]
  } catch {
    return []
  }
}

export const marksAt = (at: Place): Mark[] => marks().filter((mark) => databaseOf(mark) === databaseOf(at))
export const sumOf = (all: Unsent[]): number => all.reduce((sum, one) => sum + one.changes, 0)
export const unsentAt = (at: Place): number => sumOf(marksAt(at))

/** What these marks stand for is sent. One that was changed meanwhile stands for more. */
export function clearMarks(sent: Mark[]): void {
  for (const { key, noted } of sent) if (recall(key) === noted) remember(key, null)
}

/** Everything that waits on this device, whoever typed it: each person's text of a record once. */
export function unsentHere(): Unsent[] {
  const found = new Map<string, Unsent>()
  for (const { office, person, record, changes, name } of marks()) {
    const key = databaseOf({ office, person, record })
    found.set(key, { office, person, record, name, changes: changes + (found.get(key)?.changes ?? 0) })
  }
  return [...found.values()]
}

/** Whoever joins again is a new person to the office; under the same name, what waits may be theirs. */
export const mayBeOf = (found: Unsent, id: string, name: string): boolean => found.person === id || found.name === name

/** What waits for the same record under the same name, from before its writer had to join again. */
export function earlierAt(at: Place, name: string): Unsent[] {
  const same = (found: Unsent) => found.office === at.office && found.record === at.record && found.person !== at.person
  return unsentHere().filter((found) => same(found) && mayBeOf(found, at.person, name))
}

/** Deletes the copies that the office's computer has all of. Another window that has one open makes it anew once something waits there. */
export async function forgetSent(): Promise<void> {
  try {
    const waiting = new Set(unsentHere().map(databaseOf))
    for (const { name } of await indexedDB.databases()) {
      if (name?.startsWith(DATABASES) && !waiting.has(name)) indexedDB.deleteDatabase(name)
    }
  } catch {
    // this browser keeps nothing, or does not say what it keeps
  }
}

/** Gives what is being sent a moment to arrive, so that nobody is asked about it. */
export async function soon(arrived: () => boolean, waitMs: number): Promise<boolean> {
  for (const end = Date.now() + waitMs; !arrived() && Date.now() < end;) {
    await new Promise((done) => setTimeout(done, PAUSE_MS))
  }
  return arrived()
}
