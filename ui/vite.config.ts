import { fileURLToPath } from 'node:url'
import ui from '@nuxt/ui/vite'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'
import { glyphs } from './build/glyphs.ts'
import { messages } from './build/messages.ts'

const server = process.env.TOWNHALL ?? 'http://127.0.0.1:3001'

export default defineConfig({
  plugins: [
    messages(),
    glyphs(),
    vue(),
    ui({
      components: false,
      autoImport: false,
      colorMode: false,
      dts: false,
      icon: { clientBundle: { icons: [] } },
      experimental: { componentDetection: ['Button', 'Input', 'Modal', 'Switch', 'Progress', 'Badge', 'Card', 'Alert', 'DropdownMenu', 'RadioGroup'] },
      ui: { colors: { primary: 'civic', neutral: 'slate' } },
    }),
  ],
  resolve: {
    alias: {
      '@': fileURLToPath(new URL('./src', import.meta.url)),
      'vue-i18n': 'vue-i18n/dist/vue-i18n.runtime.esm-bundler.js',
    },
    dedupe: ['vue', 'yjs', '@tiptap/core', '@tiptap/pm'],
  },
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
    __INTLIFY_DROP_MESSAGE_COMPILER__: true,
  },
  build: {
    target: 'es2022',
    manifest: 'manifest.json',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      '/api': server,
      '/health': server,
      '/hocuspocus': { target: server, ws: true },
      '/socket.io': { target: server, ws: true },
    },
  },
})
