// Markdown as a tree of plain values. It comes from flows, so nothing of it ever becomes HTML: elements
// are made by components, addresses are judged here, and what is not understood stays text.

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong'; children: Inline[] }
  | { kind: 'em'; children: Inline[] }
  | { kind: 'strike'; children: Inline[] }
  | { kind: 'link'; href: string; children: Inline[] }
  | { kind: 'image'; src: string; alt: string }
  | { kind: 'break' }

export type Block =
  | { kind: 'heading'; level: number; children: Inline[] }
  | { kind: 'paragraph'; children: Inline[] }
  | { kind: 'code'; text: string; language: string }
  | { kind: 'quote'; children: Block[] }
  | { kind: 'list'; ordered: boolean; start: number; items: { checked: boolean | null; children: Block[] }[] }
  | { kind: 'table'; head: Inline[][]; align: ('left' | 'right' | 'center')[]; rows: Inline[][][] }
  | { kind: 'rule' }

/** Beyond this, a text is shown as it came: reading it would keep the page from answering. */
export const LONGEST = 200_000
const DEEPEST = 6

/** An address that a link may have, or nothing. */
export function safeLink(address: string): string | null {
  const text = address.trim()
  if (/^(https?:|mailto:)/i.test(text)) return URL.canParse(text) ? text : null
  // A path of this server; "//host" would be another one.
  return /^(\/(?![/\\])|#|\.{1,2}\/)[^\s]*$/.test(text) ? text : null
}

/** An address that an image may have: this server's, or the picture itself. Others are never asked. */
export function safeImage(address: string, origin: string): string | null {
  const text = address.trim()
  if (/^data:image\/(png|jpe?g|gif|webp|svg\+xml);/i.test(text)) return text
  if (!URL.canParse(text, origin)) return null
  const url = new URL(text, origin)
  return url.origin === origin && /^https?:$/.test(url.protocol) ? url.href : null
}

export function markdown(text: string): Block[] {
  return blocks(text.replaceAll('\r\n', '\n').replaceAll('\t', '    ').split('\n'), 0)
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/
/** Below a paragraph it makes that a heading. */
const UNDERLINE = /^ {0,3}(=+|-+) *$/
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/
const BULLET = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+)(.*)$/
const DIVIDER = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/

function blocks(lines: string[], depth: number): Block[] {
  const out: Block[] = []
  if (depth > DEEPEST) return [{ kind: 'code', text: lines.join('\n'), language: '' }]
  let i = 0
  while (i < lines.length) {
    const line = lines[i]!
    if (!line.trim()) {
      i++
      continue
    }
    const fence = FENCE.exec(line)
    if (fence) {
      const body: string[] = []
      const close = new RegExp(`^ {0,3}\\${fence[1]![0]}{${fence[1]!.length},}\\s*$`)
      for (i++; i < lines.length && !close.test(lines[i]!); i++) body.push(lines[i]!)
      i++
      out.push({ kind: 'code', text: body.join('\n'), language: fence[2] ?? '' })
      continue
    }
    const heading = HEADING.exec(line)
    if (heading) {
      out.push({ kind: 'heading', level: heading[1]!.length, children: inline(heading[2]!) })
      i++
      continue
    }
    if (RULE.test(line)) {
      out.push({ kind: 'rule' })
      i++
      continue
    }
    if (/^ {0,3}>/.test(line)) {
      const body: string[] = []
      for (; i < lines.length && /^ {0,3}>/.test(lines[i]!); i++) body.push(lines[i]!.replace(/^ {0,3}> ?/, ''))
      out.push({ kind: 'quote', children: blocks(body, depth + 1) })
      continue
    }
    if (
      line.includes('|') &&
      i + 1 < lines.length &&
      DIVIDER.test(lines[i + 1]!) &&
      lines[i + 1]!.includes('-') &&
      cells(line).length === cells(lines[i + 1]!).length
    ) {
      const head = cells(line).map(inline)
      const align = cells(lines[i + 1]!).map(
        (cell) => (/^:-+:$/.test(cell) ? 'center' : /-:$/.test(cell) ? 'right' : 'left') as 'left' | 'right' | 'center',
      )
      const rows: Inline[][][] = []
      for (i += 2; i < lines.length && lines[i]!.includes('|') && lines[i]!.trim(); i++) {
        const row = cells(lines[i]!)
        rows.push(head.map((_, n) => inline(row[n] ?? '')))
      }
      out.push({ kind: 'table', head, align, rows })
      continue
    }
    if (BULLET.test(line)) {
      const [list, next] = listAt(lines, i, depth)
      out.push(list)
      i = next
      continue
    }
    if (/^ {4}/.test(line)) {
      const body: string[] = []
      for (; i < lines.length && (/^ {4}/.test(lines[i]!) || !lines[i]!.trim()); i++) body.push(lines[i]!.slice(4))
      out.push({ kind: 'code', text: body.join('\n').trimEnd(), language: '' })
      continue
    }
    const body: string[] = []
    for (
      ;
      i < lines.length && lines[i]!.trim() && (!body.length || !(starts(lines[i]!) || UNDERLINE.test(lines[i]!)));
      i++
    )
      body.push(lines[i]!.trimStart())
    const underline = UNDERLINE.exec(lines[i] ?? '')
    if (underline) i++
    const children = inline(body.join('\n').trimEnd())
    out.push(
      underline
        ? { kind: 'heading', level: underline[1]![0] === '=' ? 1 : 2, children }
        : { kind: 'paragraph', children },
    )
  }
  return out
}

const starts = (line: string) =>
  FENCE.test(line) || HEADING.test(line) || RULE.test(line) || BULLET.test(line) || /^ {0,3}>/.test(line)

function listAt(lines: string[], from: number, depth: number): [Block, number] {
  const first = BULLET.exec(lines[from]!)!
  const ordered = /\d/.test(first[2]!)
  const items: { checked: boolean | null; children: Block[] }[] = []
  let i = from
  while (i < lines.length) {
    const mark = BULLET.exec(lines[i]!)
    if (!mark || /\d/.test(mark[2]!) !== ordered || RULE.test(lines[i]!)) break
    const indent = mark[1]!.length + mark[2]!.length + Math.min(mark[3]!.length, 4)
    const task = /^\[([ xX])\]\s+(.*)$/.exec(mark[4]!)
    const body = [task ? task[2]! : mark[4]!]
    for (i++; i < lines.length; i++) {
      const line = lines[i]!
      const isInside = line.slice(0, indent).trim() === '' && line.trim() !== ''
      if (isInside) body.push(line.slice(indent))
      else if (
        !line.trim() &&
        i + 1 < lines.length &&
        lines[i + 1]!.trim() &&
        lines[i + 1]!.slice(0, indent).trim() === ''
      )
        body.push('')
      else if (line.trim() && !starts(line) && body.at(-1)?.trim()) body.push(line)
      else break
    }
    items.push({ checked: task ? task[1] !== ' ' : null, children: blocks(body, depth + 1) })
    // An empty line between two items does not end the list.
    if (i + 1 < lines.length && !lines[i]!.trim() && BULLET.test(lines[i + 1]!)) i++
  }
  return [{ kind: 'list', ordered, start: ordered ? Number.parseInt(first[2]!, 10) : 1, items }, i]
}

function cells(line: string): string[] {
  const text = line
    .trim()
    .replace(/^\|/, '')
    .replace(/(?<!\\)\|$/, '')
  return text.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'))
}

const MARKS: [RegExp, (match: RegExpExecArray, depth: number) => Inline | null][] = [
  [/^\\([!-/:-@[-`{-~])/, (m) => ({ kind: 'text', text: m[1]! })],
  [/^(`+)(?!`)([\s\S]*?[^`])\1(?!`)/, (m) => ({ kind: 'code', text: m[2]!.trim() })],
  [
    /^!\[([^\]\n]{0,500})\]\(\s*<?([^\s()<>]{1,100000})>?(?:\s+"[^"\n]{0,300}")?\s*\)/,
    (m) => ({ kind: 'image', src: m[2]!, alt: m[1]! }),
  ],
  [
    /^\[([^\]\n]{1,500})\]\(\s*<?([^\s<>()]{1,2000}(?:\([^\s()]{0,200}\)[^\s<>()]{0,200})?)>?(?:\s+"[^"\n]{0,300}")?\s*\)/,
    (m, depth) => linked(m[2]!, inline(m[1]!, depth + 1), m[0]),
  ],
  [/^<((?:https?:|mailto:)[^\s<>]{1,2000})>/, (m) => linked(m[1]!, [{ kind: 'text', text: m[1]! }], m[0])],
  [/^https?:\/\/[^\s<>()"']{1,2000}[^\s<>()"'.,;:!?*_~]/, (m) => linked(m[0], [{ kind: 'text', text: m[0] }], m[0])],
  [
    /^(\*\*\*|___)(?=[^\s*_])([\s\S]{0,5000}?[^\s*_])\1(?![*\w])/,
    (m, depth) => ({ kind: 'strong', children: [{ kind: 'em', children: inline(m[2]!, depth + 1) }] }),
  ],
  [
    /^(\*\*|__)(?=\S)([\s\S]{0,5000}?\S)\1(?!\*)/,
    (m, depth) => ({ kind: 'strong', children: inline(m[2]!, depth + 1) }),
  ],
  [/^~~(?=\S)([\s\S]{0,5000}?\S)~~/, (m, depth) => ({ kind: 'strike', children: inline(m[1]!, depth + 1) })],
  [/^\*(?=\S)([^*]{0,5000}?\S)\*(?!\*)/, (m, depth) => ({ kind: 'em', children: inline(m[1]!, depth + 1) })],
  [/^_(?=\S)([^_]{0,5000}?\S)_(?!\w)/, (m, depth) => ({ kind: 'em', children: inline(m[1]!, depth + 1) })],
  [/^ {2,}\n|^\\\n/, () => ({ kind: 'break' })],
]

const linked = (href: string, children: Inline[], whole: string): Inline => {
  const safe = safeLink(href)
  return safe === null ? { kind: 'text', text: whole } : { kind: 'link', href: safe, children }
}

/** Where a mark can begin; between two of these everything is text. */
const SPECIAL = /[\\`![<*_~h ]/

export function inline(text: string, depth = 0): Inline[] {
  if (depth > DEEPEST) return [{ kind: 'text', text }]
  const out: Inline[] = []
  let plain = ''
  const flush = () => {
    if (plain) out.push({ kind: 'text', text: plain })
    plain = ''
  }
  let i = 0
  scan: while (i < text.length) {
    const c = text[i]!
    const isWordInside = (c === '_' || c === 'h') && i > 0 && /\w/.test(text[i - 1]!)
    if (SPECIAL.test(c) && !isWordInside) {
      const rest = text.slice(i, i + 110_000)
      for (const [pattern, make] of MARKS) {
        const match = pattern.exec(rest)
        const found = match && make(match, depth)
        if (!match || !found) continue
        if (found.kind === 'text') plain += found.text
        else {
          flush()
          out.push(found)
        }
        i += match[0].length
        continue scan
      }
    }
    plain += c
    i++
  }
  flush()
  return out
}

const words = (parts: Inline[]): string =>
  parts
    .map((part) => {
      if (part.kind === 'break') return ' '
      if (part.kind === 'image') return part.alt
      return 'children' in part ? words(part.children) : part.text
    })
    .join('')

/** The first line of a text, as it reads without its marks. */
export const firstLine = (text: string): string =>
  words(
    inline(
      text
        .trimStart()
        .split('\n', 1)[0]!
        .replace(/^#{1,6}\s+/, ''),
    ),
  )
