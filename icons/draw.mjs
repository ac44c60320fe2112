// Draws every icon file from townhall.svg and tray.svg: `node icons/draw.mjs`, needs rsvg-convert.
// The results are in the repository, so only who changes the drawing runs this.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))

const png = (source, size) =>
  execFileSync('rsvg-convert', ['-w', String(size), '-h', String(size), '-f', 'png', join(here, source)])

const write = (name, bytes) => writeFileSync(join(here, name), bytes)

// Windows: a directory of 16 bytes per picture, then the PNGs themselves.
function ico(sizes) {
  const pictures = sizes.map((size) => png('townhall.svg', size))
  const head = Buffer.alloc(6 + 16 * sizes.length)
  head.writeUInt16LE(1, 2)
  head.writeUInt16LE(sizes.length, 4)
  let offset = head.length
  pictures.forEach((picture, index) => {
    const at = 6 + 16 * index
    head.writeUInt8(sizes[index] % 256, at)
    head.writeUInt8(sizes[index] % 256, at + 1)
    head.writeUInt16LE(1, at + 4)
    head.writeUInt16LE(32, at + 6)
    head.writeUInt32LE(picture.length, at + 8)
    head.writeUInt32LE(offset, at + 12)
    offset += picture.length
  })
  return Buffer.concat([head, ...pictures])
}

// macOS: a four-letter kind and a length before each PNG.
function icns(kinds) {
  const parts = Object.entries(kinds).map(([kind, size]) => {
    const picture = png('townhall.svg', size)
    const head = Buffer.alloc(8)
    head.write(kind, 'ascii')
    head.writeUInt32BE(picture.length + 8, 4)
    return Buffer.concat([head, picture])
  })
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(8)
  head.write('icns', 'ascii')
  head.writeUInt32BE(body.length + 8, 4)
  return Buffer.concat([head, body])
}

for (const [name, size] of Object.entries({ '32x32.png': 32, '128x128.png': 128, '128x128@2x.png': 256, '256x256.png': 256, 'icon.png': 512 }))
  write(name, png('townhall.svg', size))
write('tray.png', png('tray.svg', 64))
write('icon.ico', ico([16, 24, 32, 48, 64, 256]))
write('icon.icns', icns({ ic07: 128, ic08: 256, ic09: 512, ic11: 32, ic12: 64, ic13: 256, ic14: 512 }))
