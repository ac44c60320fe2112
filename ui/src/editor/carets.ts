// Colleagues' cursors. The name is drawn, not written: it is no part of the text, and screen readers leave it out.
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import type { HocuspocusProvider } from '@hocuspocus/provider'
import { colourOf } from '@/kit/people'

const NAME_LETTERS = 40

interface Shown { id?: unknown; name?: unknown }

const idOf = (user: Shown) => (typeof user.id === 'string' ? user.id : String(user.name ?? ''))

function draw(user: Shown): HTMLElement {
  const caret = document.createElement('span')
  caret.className = 'caret'
  caret.setAttribute('aria-hidden', 'true')
  caret.dataset.name = String(user.name ?? '').slice(0, NAME_LETTERS)
  caret.style.setProperty('--person', colourOf(idOf(user)))
  return caret
}

export function carets(provider: HocuspocusProvider, user: { id: string; name: string; color: string }) {
  return CollaborationCaret.configure({
    provider,
    user,
    render: draw,
    selectionRender: (shown: Shown) => ({ class: 'caret-range', style: `--person: ${colourOf(idOf(shown))}` }),
  })
}
