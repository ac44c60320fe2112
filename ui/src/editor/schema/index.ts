// The record schema, version 1, for the editor: every node and mark of a record's text, and no other.
import * as blocks from './blocks'
import * as inline from './inline'
import { BulletList, ListItem, OrderedList } from './lists'
import * as marks from './marks'
import * as tables from './tables'

export const SCHEMA_VERSION = 1

export function schema(done: (text: string) => string) {
  return [
    blocks.Doc, blocks.Text, blocks.Paragraph, blocks.Heading, blocks.Blockquote, blocks.HorizontalRule, blocks.CodeBlock,
    BulletList, OrderedList, ListItem.configure({ done }),
    tables.Table, tables.TableRow, tables.TableHeader, tables.TableCell,
    inline.Image, inline.HardBreak, inline.CivicRef, inline.HtmlBlock, inline.HtmlInline, inline.FootnoteReference, inline.FootnoteDefinition,
    marks.Link, marks.Em, marks.Strong, marks.Code, marks.Strike,
  ]
}
