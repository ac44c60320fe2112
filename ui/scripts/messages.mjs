// Both languages say the same things: the same keys, the same places for values, and every key that the page uses.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const src = new URL('../src/', import.meta.url).pathname
const read = (name) => flat(JSON.parse(readFileSync(join(src, 'locales', name), 'utf8')))
function flat(tree, path = '') {
  return Object.entries(tree).flatMap(([key, value]) => (typeof value === 'string' ? [[path + key, value]] : flat(value, `${path}${key}.`)))
}
const [en, fr] = [new Map(read('en.json')), new Map(read('fr.json'))]
const wrong = []
const places = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort().join()
for (const [key, text] of en) {
  if (!fr.has(key)) wrong.push(`fr lacks ${key}`)
  else if (places(text) !== places(fr.get(key))) wrong.push(`fr and en name different values in ${key}`)
}
for (const key of fr.keys()) if (!en.has(key)) wrong.push(`en lacks ${key}`)
const source = readdirSync(src, { recursive: true, withFileTypes: true })
  .filter((f) => f.isFile() && /\.(vue|ts)$/.test(f.name))
  .map((f) => readFileSync(join(f.parentPath, f.name), 'utf8'))
  .join('\n')
for (const [, key] of source.matchAll(/\bt\(\s*'([\w.]+)'/g)) if (!en.has(key)) wrong.push(`no text for ${key}`)
for (const key of en.keys()) {
  const dynamic = ['fail.', 'type.', 'status.', 'role.', 'pill.', 'join.', 'editor.', 'app.', 'start.step.', 'reason.', 'room.', 'why.', 'back.'].some((group) => key.startsWith(group))
  if (!dynamic && !source.includes(`'${key}'`)) wrong.push(`nobody says ${key}`)
}
// What the program counts as refused is said in words; a word of the program is shown where they are missing.
const wordless = new Set()
const program = new URL('../../src/', import.meta.url).pathname
for (const file of readdirSync(program, { recursive: true, withFileTypes: true })) {
  if (!file.isFile() || !file.name.endsWith('.rs')) continue
  const text = readFileSync(join(file.parentPath, file.name), 'utf8')
  for (const [, word] of text.matchAll(/(?:refuse|Count)\("(\w+)"\)/g)) if (!en.has(`reason.${word}`)) wordless.add(word)
}
if (wordless.size > 0) console.warn(`without words yet, in the group reason: ${[...wordless].join(', ')}`)
if (wrong.length > 0) {
  console.error(wrong.join('\n'))
  process.exit(1)
}
console.log(`${en.size} texts in two languages`)
