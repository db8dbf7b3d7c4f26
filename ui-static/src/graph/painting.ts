// The graph of a run, drawn: bars along an axis of time or in lanes, boxes and arrows for dependencies.

import { BELOW, tone, word, type Tone } from '../lib/states'
import { readable } from '../lib/theme.svelte'
import { clockSeconds, duration } from '../lib/time'
import { NODE_W, type Box } from './layout'
import { BAND, FLAGS, heightOf, px, room, top, widthOf, type Scene } from './scene'

/** The theme's colours that a graph is drawn with, beside those of states. */
const INKS = ['line', 'line-strong', 'ink', 'ink-2', 'ink-3', 'surface', 'sunken', 'focus']
export const COLOURS = [
  'scheduled',
  'late',
  'pending',
  'running',
  'completed',
  'failed',
  'crashed',
  'cancelled',
  'cancelling',
  'paused',
  ...INKS,
]

export interface Pen {
  c: CanvasRenderingContext2D
  s: Scene
  /** The colours by name. */
  colour: Record<string, string>
  font: string
}

/** Draws all of a scene, on a canvas that is measured in CSS pixels. */
export function paint(p: Pen) {
  const { c, s, colour } = p
  const { layout: l, tones, width, height, left, head, marked } = s
  c.clearRect(0, 0, width, height)
  c.textBaseline = 'middle'
  frames(p)
  if (l.timed) grid(p)
  headings(p)
  lanes(p)
  c.save()
  c.beginPath()
  c.rect(l.lanes.length ? left - 4 : 0, l.timed ? head : 0, width, height - BAND - (l.timed ? head : 0))
  c.clip()
  edges(p)
  const drawn = (b: number, box: Box) => {
    const x = px(s, box.x)
    const y = top(s, box)
    const w = widthOf(s, box, 3)
    const h = heightOf(s, box)
    if (x > width || x + w < -260 || y > height || y + h < 0) return
    // What failed is drawn last, and never thinner than one can see.
    if (l.timed && h < 6 && BELOW.includes(tones[box.nodes[0]!]!)) bar(p, box, x, y - 1.5, Math.max(w, 6), h + 3)
    else if (l.timed) bar(p, box, x, y, w, h)
    else node(p, box, x, y, w, h)
    if (box.nodes.includes(marked) || s.over === b) {
      c.strokeStyle = box.nodes.includes(marked) ? colour.focus! : colour.ink!
      c.lineWidth = 2
      round(c, x - 2, y - 2, w + 4, h + 4, 5)
      c.stroke()
    }
  }
  const last: number[] = []
  for (const [b, box] of l.boxes.entries()) {
    if (l.timed && BELOW.includes(tones[box.nodes[0]!]!)) last.push(b)
    else drawn(b, box)
  }
  for (const b of last) drawn(b, l.boxes[b]!)
  c.restore()
  if (l.lanes.length) pins(p, last)
  poles(p)
  band(p)
}

/** Where the task runs of unfolded subflows lie. */
function frames(p: Pen) {
  const { c, s, colour } = p
  const { layout: l, width, height, head } = s
  for (const frame of l.frames) {
    const y = top(s, frame)
    if (y > height || y + frame.h < head) continue
    const x = 4 + frame.depth * 6
    round(c, x, y, width - x * 2, frame.h, 6)
    c.fillStyle = colour.sunken!
    c.fill()
    c.strokeStyle = colour.line!
    c.lineWidth = 1
    c.stroke()
  }
}

/** The names of unfolded subflows, on a ground of their own: lines of the grid would run through them. */
function headings(p: Pen) {
  const { c, s, colour, font } = p
  const { layout: l, width, height, head } = s
  c.font = `600 11px ${font}`
  for (const frame of l.frames) {
    const y = top(s, frame)
    if (y > height || y + frame.h < head) continue
    const x = 4 + frame.depth * 6
    const text = cut(c, `↳ ${frame.label}`, width - x * 2 - 20)
    c.fillStyle = colour.sunken!
    c.fillRect(x + 6, y + 3, c.measureText(text).width + 4, 15)
    c.fillStyle = colour['ink-2']!
    c.fillText(text, x + 8, y + 10)
  }
}

/** The name of each task at the left, its runs beside it. */
function lanes(p: Pen) {
  const { c, s, colour, font } = p
  const { layout: l, width, height, left, head } = s
  c.font = `12px ${font}`
  for (const [k, lane] of l.lanes.entries()) {
    const y = top(s, lane)
    if (y > height || y + lane.h < head) continue
    if (k % 2) {
      c.fillStyle = colour.sunken!
      c.fillRect(0, y, width, lane.h)
    }
    // In the middle of what is seen of the lane, or a tall one would have no name.
    const middle = (Math.max(y, head) + Math.min(y + lane.h, height - BAND)) / 2
    c.fillStyle = colour.ink!
    const inset = 12 + Math.min(4, lane.depth) * 12
    c.fillText(cut(c, `${lane.depth ? '↳ ' : ''}${lane.label}`, left - 36 - inset), inset, middle)
    c.fillStyle = colour['ink-3']!
    c.textAlign = 'right'
    c.fillText(lane.count.toLocaleString(), left - 12, middle)
    c.textAlign = 'left'
  }
}

/** Each artifact at the time at which it was made, with its key as far as there is room before the next. */
function poles(p: Pen) {
  const { c, s, colour, font } = p
  const { flags, width, left, head, flag } = s
  c.font = `11px ${font}`
  for (const [i, one] of flags.entries()) {
    const x = px(s, one.at)
    if (x < left - 4 || x > width) continue
    const y = head - FLAGS + 3
    c.strokeStyle = c.fillStyle = i === flag ? colour.ink! : colour['ink-2']!
    c.lineWidth = 1
    c.beginPath()
    c.moveTo(x + 0.5, y)
    c.lineTo(x + 0.5, head - 1)
    c.stroke()
    c.beginPath()
    c.moveTo(x, y)
    c.lineTo(x + 8, y + 4)
    c.lineTo(x, y + 8)
    c.fill()
    const next = flags[i + 1]
    const space = Math.min(200, (next ? px(s, next.at) : width) - x - 18)
    const text = space > 24 ? cut(c, one.key ?? one.type ?? 'artifact', space) : ''
    if (text) c.fillText(text, x + 12, y + 5)
  }
}

/** Where failures are: above the time at which they ended, and at the edge when they are out of sight. */
function pins(p: Pen, list: number[]) {
  const { c, s, colour } = p
  const { layout: l, tones, width, height, left, head } = s
  for (const b of list.slice(0, 500)) {
    const box = l.boxes[b]!
    c.fillStyle = colour[tones[box.nodes[0]!]!]!
    const x = px(s, box.x + box.w)
    if (x >= left && x <= width) {
      c.beginPath()
      c.moveTo(x - 4.5, head - 8)
      c.lineTo(x + 4.5, head - 8)
      c.lineTo(x, head - 1)
      c.fill()
    }
    const y = top(s, box)
    if (y < head || y > height - BAND) c.fillRect(width - 5, head + (box.y / l.height) * (room(s) - 4), 5, 4)
  }
}

function round(c: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, r: number) {
  c.beginPath()
  c.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2))
}

function cut(c: CanvasRenderingContext2D, text: string, space: number): string {
  const t = text.length > 120 ? text.slice(0, 120) : text
  if (c.measureText(t).width <= space) return t
  let n = Math.max(1, Math.floor((t.length * space) / Math.max(1, c.measureText(t).width)) - 1)
  while (n > 1 && c.measureText(`${t.slice(0, n)}…`).width > space) n--
  return n > 1 ? `${t.slice(0, n)}…` : ''
}

function grid(p: Pen) {
  const { c, s, colour, font } = p
  const { layout: l, view, width, height, left, head } = s
  const steps = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5,
    864e5, 6048e5,
  ]
  const step = steps.find((ms) => ms / view.per >= 92) ?? 6048e5
  c.font = `10.5px ${font}`
  c.strokeStyle = colour.line!
  c.fillStyle = colour['ink-3']!
  c.lineWidth = 1
  // Ticks below a second count from the start of the run, others follow the clock.
  const zero = step < 1000 ? l.start : 0
  for (let at = zero + Math.ceil((view.x - zero) / step) * step; px(s, at) < width; at += step) {
    const x = Math.round(px(s, at)) + 0.5
    if (x < left) continue
    c.beginPath()
    c.moveTo(x, head - 2)
    c.lineTo(x, height - BAND)
    c.stroke()
    // Below a second the way since the start says more than the clock.
    const text = step < 1000 ? `+${duration((at - l.start) / 1000)}` : clockSeconds(at)
    if (x + 5 + c.measureText(text).width <= width) c.fillText(text, x + 5, 11)
  }
}

function bar(p: Pen, box: Box, x: number, y: number, w: number, h: number) {
  const { c, s, colour, font } = p
  const { graph, tones, width } = s
  const i = box.nodes[0]!
  const t = tones[i]!
  c.fillStyle = colour[t]!
  if (h < 6) c.fillRect(x, y, w, h)
  else {
    round(c, x, y, w, h, 4)
    if (graph.start[i] == null || t === 'cancelling') {
      c.strokeStyle = colour[t]!
      c.lineWidth = 1.5
      c.stroke()
    } else c.fill()
  }
  if (h < 12 || !box.label) return
  c.font = `12px ${font}`
  const wide = c.measureText(box.label).width
  const child = graph.child[i] ? '↳ ' : ''
  if (wide + 14 < w) {
    c.fillStyle = readable(colour[t]!)
    c.fillText(child + box.label, x + 7, y + h / 2 + 0.5)
  } else if (h >= 14 && x + w + 40 < width) {
    // A label beside its bar needs a ground, or arrows run through it.
    const text = child + cut(c, box.label, Math.min(220, width - x - w - 12 - c.measureText(child).width))
    c.fillStyle = colour.surface!
    c.globalAlpha = 0.82
    c.fillRect(x + w + 4, y + 2, c.measureText(text).width + 4, h - 4)
    c.globalAlpha = 1
    c.fillStyle = colour.ink!
    c.fillText(text, x + w + 6, y + h / 2 + 0.5)
  }
}

function node(p: Pen, box: Box, x: number, y: number, w: number, h: number) {
  const { c, s, colour, font } = p
  const { graph, tones } = s
  const many = box.nodes.length > 1
  const k = w / NODE_W
  if (k < 0.25) {
    c.fillStyle = colour[worst(s, box.nodes)]!
    c.fillRect(x, y, w, h)
    return
  }
  if (many) {
    c.fillStyle = colour.surface!
    c.strokeStyle = colour['line-strong']!
    for (const d of [6, 3]) {
      round(c, x + d * k, y - d * k, w, h, 7 * k)
      c.fill()
      c.stroke()
    }
  }
  round(c, x, y, w, h, 7 * k)
  c.fillStyle = colour.surface!
  c.fill()
  c.strokeStyle = colour['line-strong']!
  c.lineWidth = 1
  c.stroke()
  if (many) {
    const counts = new Map<Tone, number>()
    for (const i of box.nodes) counts.set(tones[i]!, (counts.get(tones[i]!) ?? 0) + 1)
    let at = x + 10 * k
    const inner = w - 20 * k
    for (const [t, n] of [...counts].sort(([a], [b]) => Number(BELOW.includes(b)) - Number(BELOW.includes(a)))) {
      const size = Math.max(BELOW.includes(t) ? 4 : 1, (n / box.nodes.length) * inner)
      c.fillStyle = colour[t]!
      c.fillRect(at, y + h - 11 * k, Math.min(size, x + w - 10 * k - at), 4 * k)
      at += size
    }
  } else {
    c.fillStyle = colour[tones[box.nodes[0]!]!]!
    round(c, x, y, 6 * k, h, 6 * k)
    c.fill()
  }
  c.fillStyle = colour.ink!
  c.font = `${many ? 600 : 400} ${12.5 * k}px ${font}`
  c.fillText(cut(c, box.label, w - 26 * k), x + (many ? 10 : 14) * k, y + h * 0.36)
  if (!many) {
    const i = box.nodes[0]!
    c.fillStyle = colour['ink-3']!
    c.font = `${11 * k}px ${font}`
    const [from, to] = [graph.start[i], graph.end[i]]
    const took = from != null && to != null ? ` · ${duration((to - from) / 1000)}` : ''
    c.fillText(word(graph.state_type[i], graph.state_name[i]) + took, x + 14 * k, y + h * 0.72)
  }
}

const worst = ({ tones }: Scene, nodes: number[]): Tone =>
  tones[nodes.find((i) => BELOW.includes(tones[i]!)) ?? nodes[0]!]!

function edges(p: Pen) {
  const { c, s, colour } = p
  const { layout: l, view, width } = s
  // Thousands of curves hide what they should show; then only those of the box under the pointer are drawn.
  const all = l.edges.length <= 600
  c.strokeStyle = colour['ink-3']!
  c.fillStyle = colour['ink-3']!
  for (const [a, b] of l.edges) {
    const near = s.over === a || s.over === b
    if (!all && !near) continue
    const from = l.boxes[a]!
    const to = l.boxes[b]!
    const x1 = px(s, from.x) + Math.max(3, from.w / view.per)
    const y1 = top(s, from) + heightOf(s, from) / 2
    const x2 = px(s, to.x) - 2
    const y2 = top(s, to) + heightOf(s, to) / 2
    if (Math.max(x1, x2) < 0 || Math.min(x1, x2) > width) continue
    c.globalAlpha = near ? 1 : 0.6
    c.lineWidth = near ? 1.6 : 1
    const bend = Math.max(14, Math.abs(x2 - x1) / 2)
    c.beginPath()
    c.moveTo(x1, y1)
    c.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2 - 3, y2)
    c.stroke()
    c.beginPath()
    c.moveTo(x2, y2)
    c.lineTo(x2 - 5, y2 - 3)
    c.lineTo(x2 - 5, y2 + 3)
    c.fill()
  }
  c.globalAlpha = 1
}

/** The run's own states along the bottom. */
function band(p: Pen) {
  const { c, s, colour } = p
  const { layout: l, states, width, height } = s
  if (!l.timed) return
  const y = height - BAND
  for (const [i, state] of states.entries()) {
    const from = px(s, Date.parse(state.timestamp))
    const next = states[i + 1]
    const to = px(s, next ? Date.parse(next.timestamp) : s.until)
    c.fillStyle = colour[tone(state.type, state.name)]!
    c.fillRect(Math.max(0, from), y, Math.max(0, Math.min(width, to) - Math.max(0, from)), BAND)
  }
}
