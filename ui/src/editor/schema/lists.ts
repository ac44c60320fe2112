// Lists. A task is a list item whose `checked` is not null, so one list may hold both kinds.
import { Node, wrappingInputRule } from '@tiptap/core'
import { taskView } from './taskView'

const tight = {
  tight: {
    default: false,
    parseHTML: (element: HTMLElement) => element.hasAttribute('data-tight'),
    renderHTML: (attrs: Record<string, unknown>) => (attrs.tight ? { 'data-tight': '' } : {}),
  },
}

export const BulletList = Node.create({
  name: 'bullet_list',
  group: 'block list',
  content: 'list_item+',
  addAttributes: () => tight,
  parseHTML: () => [{ tag: 'ul' }],
  renderHTML: ({ HTMLAttributes }) => ['ul', HTMLAttributes, 0],
  addKeyboardShortcuts() {
    return { 'Mod-Shift-8': () => this.editor.commands.toggleList('bullet_list', 'list_item', false, { tight: true }) }
  },
  addInputRules() {
    return [wrappingInputRule({ find: /^\s*([-+*])\s$/, type: this.type, getAttributes: { tight: true } })]
  },
})

export const OrderedList = Node.create({
  name: 'ordered_list',
  group: 'block list',
  content: 'list_item+',
  addAttributes: () => ({
    order: {
      default: 1,
      parseHTML: (element) => Number.parseInt(element.getAttribute('start') ?? '1', 10) || 1,
      renderHTML: ({ order }) => (order === 1 ? {} : { start: order }),
    },
    ...tight,
  }),
  parseHTML: () => [{ tag: 'ol' }],
  renderHTML: ({ HTMLAttributes }) => ['ol', HTMLAttributes, 0],
  addKeyboardShortcuts() {
    return { 'Mod-Shift-7': () => this.editor.commands.toggleList('ordered_list', 'list_item', false, { tight: true }) }
  },
  addInputRules() {
    return [
      wrappingInputRule({
        find: /^(\d{1,9})[.)]\s$/,
        type: this.type,
        getAttributes: (match) => ({ order: Number(match[1]), tight: true }),
        joinPredicate: (match, node) => node.childCount + Number(node.attrs.order) === Number(match[1]),
      }),
    ]
  },
})

export const ListItem = Node.create({
  name: 'list_item',
  content: 'paragraph block*',
  defining: true,
  addOptions: () => ({ done: (text: string) => text }),
  addAttributes: () => ({
    checked: {
      default: null,
      parseHTML: (element) => {
        const said = element.getAttribute('data-checked')
        return said === null ? null : said === 'true'
      },
      renderHTML: ({ checked }) => (typeof checked === 'boolean' ? { 'data-checked': String(checked) } : {}),
    },
  }),
  parseHTML: () => [{ tag: 'li' }],
  renderHTML: ({ HTMLAttributes }) => ['li', HTMLAttributes, 0],
  addNodeView() {
    return taskView((text: string) => this.options.done(text))
  },
  addKeyboardShortcuts() {
    return {
      // a new item of a task list is a task that is not done yet
      Enter: () => {
        const item = this.editor.state.selection.$from.node(-1)
        const task = item?.type === this.type && typeof item.attrs.checked === 'boolean'
        return this.editor.commands.splitListItem(this.name, task ? { checked: false } : {})
      },
      Tab: () => this.editor.commands.sinkListItem(this.name),
      'Shift-Tab': () => this.editor.commands.liftListItem(this.name),
      Backspace: () => {
        const { empty, $from } = this.editor.state.selection
        const item = $from.depth > 1 ? $from.node(-1) : null
        if (!empty || $from.parentOffset > 0 || item?.type !== this.type || $from.index(-1) !== 0) return false
        return this.editor.commands.liftListItem(this.name)
      },
    }
  },
  addInputRules() {
    return []
  },
})
