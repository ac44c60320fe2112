declare module '~glyph/*' {
  const body: string
  export default body
}

declare module 'virtual:nuxt-ui-icons' {
  import type { IconifyIcon } from '@iconify/types'
  export function init(add: (name: string, icon: IconifyIcon) => void): void
}
