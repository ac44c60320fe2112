// Compiles the interface's texts when the page is built, so that the browser needs no message compiler
// (and the page no `unsafe-eval`).
import { baseCompile, type CompileOptions } from '@intlify/message-compiler'
import type { Plugin } from 'vite'

// `minify` is read by the compiler but missing from its types
const OPTIONS = { jit: true, location: false, minify: true } as CompileOptions

type Tree = { [key: string]: string | Tree }

function compiled(tree: Tree): unknown {
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => [
      key,
      typeof value === 'string' ? baseCompile(value, OPTIONS).ast : compiled(value),
    ]),
  )
}

export function messages(): Plugin {
  return {
    name: 'townhall:messages',
    enforce: 'pre',
    transform: {
      filter: { id: /\/locales\/[a-z]{2}\.json$/ },
      handler: (code) => ({
        code: `export default ${JSON.stringify(compiled(JSON.parse(code) as Tree))}`,
        map: null,
        moduleType: 'js',
      }),
    },
  }
}
