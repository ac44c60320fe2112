// How a list item is shown: with a real checkbox, reachable by key, when it is a task.
import type { NodeViewRenderer } from '@tiptap/core'
import type { Node as Item } from '@tiptap/pm/model'

const NAME_LETTERS = 80
const isTask = (item: Item) => typeof item.attrs.checked === 'boolean'

export function taskView(done: (text: string) => string): NodeViewRenderer {
  return ({ node, editor, getPos }) => {
    let item = node
    const dom = document.createElement('li')
    if (!isTask(node)) {
      return { dom, contentDOM: dom, update: (next: Item) => next.type === item.type && !isTask(next) && Boolean((item = next)) }
    }
    dom.className = 'task'
    const box = document.createElement('input')
    box.type = 'checkbox'
    box.contentEditable = 'false'
    const content = document.createElement('div')
    dom.append(box, content)

    const draw = () => {
      box.checked = item.attrs.checked === true
      box.setAttribute('aria-label', done((item.firstChild?.textContent ?? '').slice(0, NAME_LETTERS)))
      dom.dataset.checked = String(item.attrs.checked)
    }
    box.addEventListener('change', () => {
      const pos = typeof getPos === 'function' ? getPos() : undefined
      if (!editor.isEditable || pos === undefined) return draw()
      editor.view.dispatch(editor.state.tr.setNodeMarkup(pos, undefined, { ...item.attrs, checked: box.checked }))
    })
    draw()
    return {
      dom,
      contentDOM: content,
      stopEvent: (event: Event) => event.target === box,
      ignoreMutation: (record) => record.type !== 'selection' && !content.contains(record.target),
      update(next: Item) {
        if (next.type !== item.type || !isTask(next)) return false
        item = next
        draw()
        return true
      },
    }
  }
}
