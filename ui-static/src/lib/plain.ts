// Text of strangers as text: what would act on a terminal or turn a line around is shown, not obeyed.

export interface Piece {
  text: string
  /** A colour's name, of the eight that terminals agree on. */
  colour?: string
  bold?: boolean
}

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white']

/** Control characters as their pictures; embeddings and overrides of direction by name. */
export function visible(text: string | null | undefined): string {
  if (!text) return ''
  // eslint-disable-next-line no-control-regex
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f\u0080-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f\ufeff]/g,
    (c) => {
      const code = c.charCodeAt(0)
      if (code < 0x20) return String.fromCharCode(0x2400 + code)
      if (code === 0x7f) return '\u2421'
      return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`
    },
  )
}

/**
 * What terminals take as orders: CSI with its parameters, strings such as the address of a link (OSC, which BEL ends
 * too), and the short ones. One without its end is none, so that it hides nothing.
 */
const ESCAPE =
  // eslint-disable-next-line no-control-regex
  /\u001b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\u0007\u001b\n]*(?:\u0007|\u001b\\)|[ -/]*[0-OQ-WYZ\\`-~])/g

/** Cuts a line at its colours. A terminal's other orders are left out; the text of a link stays. */
export function pieces(text: string): Piece[] {
  // The usual line has no escape and no carriage return and costs one look.
  const line = text.replace(/\r\n?/g, '\n')
  if (!line.includes('\u001b')) return [{ text: visible(line) }]
  const out: Piece[] = []
  let colour: string | undefined
  let bold = false
  let from = 0
  for (const match of line.matchAll(ESCAPE)) {
    if (match.index > from) out.push(piece(line.slice(from, match.index), colour, bold))
    from = match.index + match[0].length
    if (match[2] !== 'm' || !/^[\d;]*$/.test(match[1]!)) continue
    const codes = (match[1] || '0').split(';').map(Number)
    for (const code of codes) {
      // Colours beyond the eight have numbers of their own behind them.
      if (code === 38 || code === 48) break
      if (code === 0) [colour, bold] = [undefined, false]
      else if (code === 1) bold = true
      else if (code === 22) bold = false
      else if (code >= 30 && code <= 37) colour = COLOURS[code - 30]
      else if (code >= 90 && code <= 97) colour = COLOURS[code - 90]
      else if (code === 39) colour = undefined
    }
  }
  if (from < line.length) out.push(piece(line.slice(from), colour, bold))
  return out
}

function piece(text: string, colour: string | undefined, bold: boolean): Piece {
  const out: Piece = { text: visible(text) }
  if (colour) out.colour = colour
  if (bold) out.bold = true
  return out
}
