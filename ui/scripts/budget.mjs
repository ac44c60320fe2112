// The page's budgets, in bytes of gzipped JavaScript: what the join screen loads, and everything up to the editor.
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const dist = new URL('../dist/', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('manifest.json', dist), 'utf8'))
const size = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length

function reach(starts) {
  const seen = new Set()
  const walk = (key) => {
    const chunk = manifest[key]
    if (!chunk || seen.has(key)) return
    seen.add(key)
    chunk.imports?.forEach(walk)
  }
  starts.forEach(walk)
  return [...seen].map((key) => manifest[key])
}

function weigh(name, starts, limit) {
  for (const start of starts) if (!manifest[start]) throw new Error(`${name}: no chunk for ${start}`)
  const chunks = reach(starts)
  const js = chunks.filter((c) => c.file.endsWith('.js')).reduce((sum, c) => sum + size(c.file), 0)
  const css = [...new Set(chunks.flatMap((c) => c.css ?? []))].reduce((sum, file) => sum + size(file), 0)
  const good = js <= limit && css <= 60_000
  console.log(`${name}: ${js} B of JavaScript (at most ${limit}), ${css} B of styles (at most 60000), gzipped${good ? '' : '  TOO LARGE'}`)
  return good
}

const first = ['index.html', 'src/screens/Join.vue', 'src/locales/fr.json']
const way = ['src/screens/Records.vue', 'src/screens/records/ImportArea.vue', 'src/screens/records/NewRecord.vue', 'src/screens/Record.vue', 'src/editor/session.ts', 'src/screens/editor/Editor.vue']
const good = [
  weigh('join', first, 120_000),
  weigh('join to editor', [...first, ...way], 400_000),
  weigh('host: office', [...first, 'src/screens/Start.vue', 'src/screens/Office.vue', 'src/screens/office/Activity.vue', 'src/screens/office/Demo.vue', 'src/screens/office/Central.vue'], 400_000),
  weigh('host: start to editor', [...first, 'src/screens/Start.vue', ...way], 400_000),
]
if (!good.every(Boolean)) process.exit(1)
