import { describe, expect, test } from 'vitest'
import { Heights } from '../../src/lib/heights'
import { pieces, visible } from '../../src/lib/plain'
import { EventReader } from '../../src/lib/sse'
import { authorization } from '../../src/lib/credentials'

describe('heights', () => {
  test('lines are found by their place and places by their line, whatever their heights', () => {
    const list = new Heights(2500, 22, 400)
    list.set(3, 66)
    list.set(1200, 220)
    expect(list.total).toBe(2500 * 22 + 44 + 198)
    for (const i of [0, 3, 4, 399, 400, 1200, 1201, 2499]) {
      expect(list.at(list.top(i))).toBe(i)
      expect(list.at(list.top(i) + list.get(i) - 1)).toBe(i)
    }
    expect(list.at(1e9)).toBe(2499)
  })
  test('a list that has grown keeps what was measured', () => {
    const list = new Heights(500, 22)
    list.set(499, 100)
    const more = list.grown(900)
    expect([more.get(499), more.get(899), more.total]).toEqual([100, 22, 900 * 22 + 78])
  })
  test('an empty list has a place for nothing', () => {
    expect([new Heights(0, 22).at(50), new Heights(0, 22).total]).toEqual([0, 0])
  })
})

describe('text of strangers', () => {
  test('control characters and turns of direction are shown, not obeyed', () => {
    expect(visible('a\u0007b\u202ec\td')).toBe('a\u2407b\u27e8U+202E\u27e9c\td')
  })
  test('colours of a terminal become colours, its other orders are left out', () => {
    expect(pieces('\u001b[1;31mbad\u001b[0m fine \u001b[2J')).toEqual([
      { text: 'bad', colour: 'red', bold: true },
      { text: ' fine ' },
    ])
    const words = (text: string) =>
      pieces(text)
        .map((piece) => piece.text)
        .join('')
    const link = (end: string) => `see \u001b]8;;http://a.org${end}the page\u001b]8;;${end}.`
    expect(words(link('\u0007'))).toBe('see the page.')
    expect(words(link('\u001b\\'))).toBe('see the page.')
    expect(words('\u001b[?25l\u001b[2K\u001b(B\u001b7\u001bPq#0\u001b\\50%\u001b[>4;1m\u001bM')).toBe('50%')
    // A colour out of 256 is not the one of the eight that has its number.
    expect(pieces('\u001b[38;5;31mx')).toEqual([{ text: 'x' }])
  })
  test('an order without its end hides nothing', () => {
    expect(pieces('\u001b]8;;http://a.org and more')).toEqual([{ text: '\u241b]8;;http://a.org and more' }])
    expect(pieces('\u001b[')).toEqual([{ text: '\u241b[' }])
    const from = Date.now()
    for (const text of ['\u001b]'.repeat(50_000), '\u001b[1;'.repeat(50_000), '\u001b   '.repeat(50_000)]) pieces(text)
    expect(Date.now() - from).toBeLessThan(2000)
  })
  test('markup is text', () => {
    expect(pieces('<script>x</script>')).toEqual([{ text: '<script>x</script>' }])
  })
})

test('events are read however their pieces are cut', () => {
  const text = ': hello\r\nevent: changes\r\nid: a-7\r\ndata: [1,\r\ndata: 2]\r\n\r\nevent: beat\ndata: {}\n\n'
  for (const size of [1, 5, 1000]) {
    const reader = new EventReader()
    const out = []
    for (let at = 0; at < text.length; at += size) out.push(...reader.take(text.slice(at, at + size)))
    expect(out).toEqual([
      { name: 'changes', data: '[1,\n2]', id: 'a-7' },
      { name: 'beat', data: '{}', id: 'a-7' },
    ])
  }
})

test('a password goes as Basic in UTF-8, anything else as a token', () => {
  expect(authorization('admin:p\u00e4ss')).toBe('Basic YWRtaW46cMOkc3M=')
  expect(authorization('abc')).toBe('Bearer abc')
})
