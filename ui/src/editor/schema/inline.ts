// What stands inside a line beside letters: breaks, pictures, references to civic matters, notes, raw HTML.
import { mergeAttributes, Node } from '@tiptap/core'
import { safeHref } from './safe'

const kept = (name: string, fallback: string | null = null) => ({
  [name]: {
    default: fallback,
    parseHTML: (element: HTMLElement) => element.getAttribute(`data-${name.toLowerCase()}`) ?? fallback,
    renderHTML: (attrs: Record<string, unknown>) => (attrs[name] ? { [`data-${name.toLowerCase()}`]: attrs[name] } : {}),
  },
})

/** An attribute as it is written, under the first of these names that is there: `2026` stays text. */
export const said = (...names: string[]) => ({
  parseHTML: (element: HTMLElement) => names.map((name) => element.getAttribute(name)).find((value) => value !== null) ?? null,
})

export const HardBreak = Node.create({
  name: 'hard_break',
  group: 'inline',
  inline: true,
  atom: true,
  selectable: false,
  linebreakReplacement: true,
  addAttributes: () => ({ soft: { default: false, rendered: false } }),
  parseHTML: () => [{ tag: 'br' }, { tag: 'span[data-soft]', attrs: { soft: true } }],
  // a soft break is only a line ending of the file: it reads as a space
  renderHTML: ({ node, HTMLAttributes }) => (node.attrs.soft ? ['span', mergeAttributes(HTMLAttributes, { 'data-soft': '' }), ' '] : ['br', HTMLAttributes]),
  renderText: ({ node }) => (node.attrs.soft ? ' ' : '\n'),
  addKeyboardShortcuts() {
    const insert = () =>
      this.editor.commands.first(({ commands }) => [
        () => commands.exitCode(),
        () => commands.insertContent({ type: this.name }),
      ])
    return { 'Mod-Enter': insert, 'Shift-Enter': insert }
  },
})

export const Image = Node.create({
  name: 'image',
  group: 'inline',
  inline: true,
  atom: true,
  draggable: true,
  addAttributes: () => ({ src: { default: '', ...said('src', 'data-src') }, alt: { default: null, ...said('alt') }, title: { default: null, ...said('title') }, ...kept('href') }),
  parseHTML: () => [{ tag: 'img[src]' }, { tag: 'span.picture[data-src]' }],
  // pictures of other hosts are not fetched: nothing leaves the office's computer
  renderHTML({ node, HTMLAttributes }) {
    const src = String(node.attrs.src ?? '')
    const local = /^\/(?!\/)/.test(src) || src.startsWith('data:image/')
    if (local) return ['img', mergeAttributes({ alt: '' }, HTMLAttributes)]
    return ['span', mergeAttributes({ ...HTMLAttributes, src: null }, { class: 'picture', 'data-src': src }), String(node.attrs.alt || node.attrs.title || src)]
  },
})

export const CivicRef = Node.create({
  name: 'civicRef',
  group: 'inline',
  inline: true,
  atom: true,
  addAttributes: () => ({ ...kept('refType', 'record'), ...kept('id', ''), ...kept('label', '') }),
  parseHTML: () => [{ tag: 'span[data-reftype]' }],
  renderHTML: ({ node, HTMLAttributes }) => ['span', mergeAttributes(HTMLAttributes, { class: 'civic-ref' }), String(node.attrs.label || node.attrs.id)],
  renderText: ({ node }) => String(node.attrs.label || node.attrs.id),
})

const raw = { value: { default: '', parseHTML: (element: HTMLElement) => element.textContent ?? '', rendered: false } }

export const HtmlBlock = Node.create({
  name: 'html_block',
  group: 'block',
  atom: true,
  addAttributes: () => raw,
  parseHTML: () => [{ tag: 'div[data-html]' }],
  renderHTML: ({ node, HTMLAttributes }) => ['div', mergeAttributes(HTMLAttributes, { 'data-html': '' }), String(node.attrs.value)],
})

export const HtmlInline = Node.create({
  name: 'html_inline',
  group: 'inline',
  inline: true,
  atom: true,
  addAttributes: () => raw,
  parseHTML: () => [{ tag: 'span[data-html]' }],
  renderHTML: ({ node, HTMLAttributes }) => ['span', mergeAttributes(HTMLAttributes, { 'data-html': '' }), String(node.attrs.value)],
})

export const FootnoteReference = Node.create({
  name: 'footnote_reference',
  group: 'inline',
  inline: true,
  atom: true,
  addAttributes: () => kept('label', ''),
  parseHTML: () => [{ tag: 'sup[data-label]' }],
  renderHTML: ({ node, HTMLAttributes }) => ['sup', HTMLAttributes, String(node.attrs.label)],
})

export const FootnoteDefinition = Node.create({
  name: 'footnote_definition',
  group: 'block',
  content: 'block+',
  defining: true,
  addAttributes: () => kept('label', ''),
  parseHTML: () => [{ tag: 'div[data-label]' }],
  renderHTML: ({ HTMLAttributes }) => ['div', mergeAttributes(HTMLAttributes, { class: 'footnote' }), 0],
})

export const linkTarget = (href: unknown) => ({ href: safeHref(href), rel: 'noopener noreferrer nofollow', target: '_blank' })
