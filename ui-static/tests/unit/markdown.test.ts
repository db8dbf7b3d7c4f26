import { expect, test } from 'vitest'
import { inline, markdown, safeImage, safeLink, firstLine } from '../../src/lib/markdown'

test('headings, paragraphs, lists, code, quotes and tables are found', () => {
  const text =
    '# Title\n\nOne *two* **three** `four`\n\n- a\n- [x] b\n  1. c\n\n> quoted\n\n```py\nx = 1\n```\n\n| a | b |\n|---|--:|\n| 1 | 2\\|3 |\n\n---'
  expect(markdown(text).map((b) => b.kind)).toEqual(['heading', 'paragraph', 'list', 'quote', 'code', 'table', 'rule'])
  const [, , list, , code, table] = markdown(text)
  expect(list).toMatchObject({
    items: [{ checked: null }, { checked: true, children: [{ kind: 'paragraph' }, { kind: 'list', ordered: true }] }],
  })
  expect(code).toEqual({ kind: 'code', text: 'x = 1', language: 'py' })
  expect(table).toMatchObject({ align: ['left', 'right'], rows: [[[{ text: '1' }], [{ text: '2|3' }]]] })
})

test('elements of HTML stay text', () => {
  expect(markdown('<script>alert(1)</script>')).toEqual([
    { kind: 'paragraph', children: [{ kind: 'text', text: '<script>alert(1)</script>' }] },
  ])
})

test('only harmless addresses become links', () => {
  expect(safeLink('https://example.org/a')).toBe('https://example.org/a')
  expect(safeLink('/flow-run/1')).toBe('/flow-run/1')
  for (const bad of [
    'javascript:alert(1)',
    ' JavaScript:alert(1)',
    'data:text/html,x',
    '//example.org',
    '/\\example.org',
    'vbscript:x',
    'java\nscript:x',
  ])
    expect(safeLink(bad)).toBeNull()
  expect(inline('[go](javascript:alert(1))')).toEqual([{ kind: 'text', text: '[go](javascript:alert(1))' }])
})

test('only pictures of this server, or those that are the picture themselves, are shown', () => {
  const here = 'http://127.0.0.1:4200'
  expect(safeImage('/a.png', here)).toBe(`${here}/a.png`)
  expect(safeImage('data:image/png;base64,AA', here)).toBe('data:image/png;base64,AA')
  for (const bad of ['https://example.org/a.png', '//example.org/a.png', 'data:text/html,x', 'javascript:x'])
    expect(safeImage(bad, here)).toBeNull()
})

test('strong, slanted and both are told apart', () => {
  const em = (text: string) => ({ kind: 'em', children: [{ kind: 'text', text }] })
  expect(inline('***both***, **b** and *i*')).toEqual([
    { kind: 'strong', children: [em('both')] },
    { kind: 'text', text: ', ' },
    { kind: 'strong', children: [{ kind: 'text', text: 'b' }] },
    { kind: 'text', text: ' and ' },
    em('i'),
  ])
  expect(inline('___both___')).toEqual([{ kind: 'strong', children: [em('both')] }])
  expect(inline('**a *b***')).toEqual([{ kind: 'strong', children: [{ kind: 'text', text: 'a ' }, em('b')] }])
})

test('a line of = or - below a paragraph makes a heading of it', () => {
  expect(markdown('Title\n======\nText\n\nPart\n---\n\n---\n\n= alone')).toMatchObject([
    { kind: 'heading', level: 1, children: [{ text: 'Title' }] },
    { kind: 'paragraph', children: [{ text: 'Text' }] },
    { kind: 'heading', level: 2, children: [{ text: 'Part' }] },
    { kind: 'rule' },
    { kind: 'paragraph', children: [{ text: '= alone' }] },
  ])
})

test('marks inside words are letters', () => {
  expect(inline('a snake_case_name and 2 * 3 * 4')).toEqual([{ kind: 'text', text: 'a snake_case_name and 2 * 3 * 4' }])
})

test('a hostile text is read in a moment', () => {
  const from = Date.now()
  for (const text of [
    '*'.repeat(20_000),
    '['.repeat(20_000),
    '`'.repeat(20_001),
    '> '.repeat(5000),
    '_a '.repeat(20_000),
    '***a '.repeat(20_000),
    '***a***'.repeat(5000),
    'a\n='.repeat(20_000),
    '- '.repeat(5000),
    '|'.repeat(20_000) + '\n' + '|-'.repeat(10_000),
  ])
    markdown(text)
  expect(Date.now() - from).toBeLessThan(4000)
})

test('a first line reads without its marks', () => {
  expect(firstLine('## A *table* of `x`\nmore')).toBe('A table of x')
  expect(firstLine('\n[docs](https://a.example) **bold** 1 < 2')).toBe('docs bold 1 < 2')
  expect(firstLine('')).toBe('')
})
