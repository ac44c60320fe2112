// What the toolbar does to the text.
import type { Editor } from '@tiptap/core'
import { TextSelection, type Transaction } from '@tiptap/pm/state'
import { addColumnAfter, addRowAfter, deleteColumn, deleteRow, deleteTable, isInTable } from '@tiptap/pm/tables'

const NEW_TABLE = { rows: 3, columns: 3 }

/** The list items of the innermost lists that the selection touches. */
function items(tr: Transaction): { pos: number; checked: boolean | null }[] {
  const found: { pos: number; checked: boolean | null }[] = []
  const { from, to, $from } = tr.selection
  tr.doc.nodesBetween(from, to, (node, pos) => {
    if (node.type.name === 'list_item') found.push({ pos, checked: node.attrs.checked as boolean | null })
  })
  if (!tr.selection.empty) return found
  for (let depth = $from.depth; depth > 0; depth -= 1) {
    if ($from.node(depth).type.name === 'list_item') return found.filter((item) => item.pos === $from.before(depth))
  }
  return []
}

export function inTask(editor: Editor): boolean {
  const touched = items(editor.state.tr)
  return touched.length > 0 && touched.every((item) => item.checked !== null)
}

function setTasks(tr: Transaction, on: boolean): boolean {
  const touched = items(tr)
  for (const { pos, checked } of touched) {
    if ((checked !== null) === on) continue
    tr.setNodeMarkup(pos, undefined, { ...tr.doc.nodeAt(pos)?.attrs, checked: on ? false : null })
  }
  return touched.length > 0
}

export function toggleTasks(editor: Editor): void {
  const on = !inTask(editor)
  const start = editor.chain().focus()
  const chain = items(editor.state.tr).length > 0 ? start : start.toggleList('bullet_list', 'list_item', false, { tight: true })
  chain.command(({ tr }) => setTasks(tr, on)).run()
}

/** A plain list of the kind asked for; a task list of the same kind becomes a plain one. */
export function toggleList(editor: Editor, kind: 'bullet_list' | 'ordered_list'): void {
  if (editor.isActive(kind) && inTask(editor)) editor.chain().focus().command(({ tr }) => setTasks(tr, false)).run()
  else editor.chain().focus().toggleList(kind, 'list_item', false, { tight: true }).run()
}

/** Whether nothing follows the block that the cursor is in: what is inserted there needs a line to go on with. */
const atEnd = (editor: Editor) => editor.state.selection.$to.indexAfter(0) >= editor.state.doc.childCount

export function insertTable(editor: Editor): void {
  const cell = (type: string) => ({ type, content: [{ type: 'paragraph' }] })
  const row = (type: string) => ({ type: 'table_row', content: Array.from({ length: NEW_TABLE.columns }, () => cell(type)) })
  const body = Array.from({ length: NEW_TABLE.rows - 1 }, () => row('table_cell'))
  const start = editor.state.selection.$from.before(1)
  const after = atEnd(editor) ? [{ type: 'paragraph' }] : []
  editor
    .chain()
    .focus()
    .insertContent([{ type: 'table', content: [row('table_header'), ...body] }, ...after])
    .command(({ tr }) => {
      let cellAt = -1
      tr.doc.nodesBetween(start, tr.doc.content.size, (node, pos) => {
        if (cellAt < 0 && node.type.name === 'table_header') cellAt = pos
        return cellAt < 0
      })
      if (cellAt >= 0) tr.setSelection(TextSelection.near(tr.doc.resolve(cellAt + 1)))
      return true
    })
    .run()
}

export const inTable = (editor: Editor) => isInTable(editor.state)

const TABLE = { addRowAfter, addColumnAfter, deleteRow, deleteColumn, deleteTable }
export function table(editor: Editor, what: keyof typeof TABLE): void {
  editor.chain().focus().command(({ state, dispatch }) => TABLE[what](state, dispatch)).run()
}

export function insertRule(editor: Editor): void {
  editor.chain().focus().insertContent([{ type: 'horizontal_rule' }, ...(atEnd(editor) ? [{ type: 'paragraph' }] : [])]).run()
}

export function setLink(editor: Editor, href: string): void {
  const { empty } = editor.state.selection
  const chain = editor.chain().focus()
  if (empty && !editor.isActive('link')) chain.insertContent({ type: 'text', text: href, marks: [{ type: 'link', attrs: { href, title: null } }] }).run()
  else chain.extendMarkRange('link').setMark('link', { href, title: null }).run()
}

export function unsetLink(editor: Editor): void {
  editor.chain().focus().extendMarkRange('link').unsetMark('link').run()
}
