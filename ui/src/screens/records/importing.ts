// Importing files, one after the other, so that a slow network shows what is happening to each.
import { ref } from 'vue'
import { ApiError } from '@/api/client'
import { importFile, type RecordRow } from '@/api/records'

export interface Import {
  key: number
  name: string
  state: 'waiting' | 'running' | 'done' | 'failed'
  record?: RecordRow
  error?: unknown
}

const MARKDOWN = /\.(md|markdown|mdown|txt)$/i
let keys = 0

export function useImport(finished: () => void) {
  const files = ref<Import[]>([])
  const running = ref(false)
  const list: File[] = []

  async function one(entry: Import, file: File) {
    entry.state = 'running'
    try {
      if (!MARKDOWN.test(file.name)) throw new ApiError('not_markdown', 0)
      entry.record = await importFile(file)
      entry.state = 'done'
    } catch (error) {
      entry.error = error
      entry.state = 'failed'
    }
  }

  async function take(chosen: Iterable<File>) {
    const more = [...chosen]
    if (more.length === 0) return
    if (!running.value) {
      list.length = 0
      files.value = []
    }
    list.push(...more)
    files.value.push(...more.map((file) => ({ key: keys++, name: file.name, state: 'waiting' as const })))
    // what comes meanwhile is taken by the walk below
    if (running.value) return
    running.value = true
    for (const [index, file] of list.entries()) {
      const entry = files.value[index]
      if (entry) await one(entry, file)
    }
    running.value = false
    finished()
  }

  return { files, running, take, clear: () => (files.value = []) }
}
