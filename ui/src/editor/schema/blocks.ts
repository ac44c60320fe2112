// Blocks of text: names and attributes are those of the record schema, version 1. What Markdown means lives on the server.
import { mergeAttributes, Node, textblockTypeInputRule, wrappingInputRule } from '@tiptap/core'

const LEVELS = [1, 2, 3, 4, 5, 6] as const

export const Doc = Node.create({ name: 'doc', topNode: true, content: 'block+' })

export const Text = Node.create({ name: 'text', group: 'inline' })

export const Paragraph = Node.create({
  name: 'paragraph',
  priority: 1000,
  group: 'block',
  content: 'inline*',
  parseHTML: () => [{ tag: 'p' }],
  renderHTML: ({ HTMLAttributes }) => ['p', HTMLAttributes, 0],
  addKeyboardShortcuts() {
    return { 'Mod-Alt-0': () => this.editor.commands.setNode('paragraph') }
  },
})

export const Heading = Node.create({
  name: 'heading',
  group: 'block',
  content: 'inline*',
  defining: true,
  addAttributes: () => ({ level: { default: 1, rendered: false } }),
  parseHTML: () => LEVELS.map((level) => ({ tag: `h${level}`, attrs: { level } })),
  renderHTML({ node, HTMLAttributes }) {
    const level = LEVELS.find((known) => known === node.attrs.level) ?? 1
    return [`h${level}`, HTMLAttributes, 0]
  },
  addKeyboardShortcuts() {
    return Object.fromEntries(LEVELS.map((level) => [`Mod-Alt-${level}`, () => this.editor.commands.toggleNode('heading', 'paragraph', { level })]))
  },
  addInputRules() {
    return LEVELS.map((level) => textblockTypeInputRule({ find: new RegExp(`^(#{${level}})\\s$`), type: this.type, getAttributes: { level } }))
  },
})

export const Blockquote = Node.create({
  name: 'blockquote',
  group: 'block',
  content: 'block+',
  defining: true,
  parseHTML: () => [{ tag: 'blockquote' }],
  renderHTML: ({ HTMLAttributes }) => ['blockquote', HTMLAttributes, 0],
  addInputRules() {
    return [wrappingInputRule({ find: /^\s*>\s$/, type: this.type })]
  },
})

export const HorizontalRule = Node.create({
  name: 'horizontal_rule',
  group: 'block',
  atom: true,
  parseHTML: () => [{ tag: 'hr' }],
  renderHTML: ({ HTMLAttributes }) => ['hr', HTMLAttributes],
})

export const CodeBlock = Node.create({
  name: 'code_block',
  group: 'block',
  content: 'text*',
  marks: '',
  code: true,
  defining: true,
  addAttributes: () => ({ params: { default: '', parseHTML: (element) => element.getAttribute('data-params') ?? '', renderHTML: ({ params }) => (params ? { 'data-params': params } : {}) } }),
  parseHTML: () => [{ tag: 'pre', preserveWhitespace: 'full' as const }],
  renderHTML: ({ HTMLAttributes }) => ['pre', mergeAttributes(HTMLAttributes, { spellcheck: 'false', tabindex: '-1' }), ['code', 0]],
  addKeyboardShortcuts() {
    return {
      // a third Enter at the end of the code goes on below it
      Enter: ({ editor }) => {
        const { $from, empty } = editor.state.selection
        const atEnd = $from.parentOffset === $from.parent.nodeSize - 2
        if (!empty || $from.parent.type !== this.type || !atEnd || !$from.parent.textContent.endsWith('\n\n')) return false
        return editor.chain().command(({ tr }) => {
          tr.delete($from.pos - 2, $from.pos)
          return true
        }).exitCode().run()
      },
      Backspace: () => {
        const { empty, $anchor } = this.editor.state.selection
        if (!empty || $anchor.parent.type !== this.type || $anchor.parent.textContent.length > 0) return false
        return this.editor.commands.setNode('paragraph')
      },
    }
  },
  addInputRules() {
    return [textblockTypeInputRule({ find: /^```([\w+#.-]*)\s$/, type: this.type, getAttributes: (match) => ({ params: match[1] ?? '' }) })]
  },
})
