// `~glyph/NAME` is one icon's drawing from the local icon set: only the icons that are named reach the page.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Plugin } from 'vite'

interface IconSet { icons: Record<string, { body: string }>; aliases?: Record<string, { parent: string }> }

const PREFIX = '~glyph/'

export function glyphs(): Plugin {
  const require = createRequire(import.meta.url)
  const set = JSON.parse(readFileSync(require.resolve('@iconify-json/lucide/icons.json'), 'utf8')) as IconSet
  return {
    name: 'townhall:glyphs',
    resolveId: (id) => (id.startsWith(PREFIX) ? '\0' + id : undefined),
    load(id) {
      if (!id.startsWith('\0' + PREFIX)) return undefined
      const name = id.slice(PREFIX.length + 1)
      const icon = set.icons[name] ?? set.icons[set.aliases?.[name]?.parent ?? '']
      if (!icon) this.error(`the local icon set has no icon "${name}"`)
      return `export default ${JSON.stringify(icon.body)}`
    },
  }
}
