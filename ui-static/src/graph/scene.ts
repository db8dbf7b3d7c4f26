// What of a graph is seen, and where it stands on the canvas.

import type { Tone } from '../lib/states'
import type { GraphColumns, State } from '../lib/types'
import type { Box, Layout } from './layout'

/** Pixels of the row of artifacts' flags below the axis of time. */
export const FLAGS = 18
/** Pixels of the run's own states along the bottom. */
export const BAND = 6

/** What x is at the left edge, how many units one pixel is, the scroll down in pixels; `zoom` 1 is all of it. */
export interface View {
  x: number
  per: number
  y: number
  zoom: number
}

export interface Scene {
  layout: Layout
  graph: GraphColumns
  /** The tone of each node's state. */
  tones: Tone[]
  /** The states of the run itself. */
  states: State[]
  /** When the last of them ended, or now. */
  until: number
  flags: GraphColumns['artifacts']
  view: View
  /** Of the canvas, in pixels. */
  width: number
  height: number
  /** What is taken at the left by the names of lanes, and at the top by the axis. */
  left: number
  head: number
  /** The box and the flag under the pointer, and the node that is marked; -1 is none. */
  over: number
  flag: number
  marked: number
}

/** How many units down one pixel is: time has one axis only. */
export const scaleY = (s: Pick<Scene, 'layout' | 'view'>) => (s.layout.timed ? 1 : s.view.per)

export const px = (s: Pick<Scene, 'left' | 'view'>, x: number) => s.left + (x - s.view.x) / s.view.per

/** Pixels between the axis and the band. */
export const room = (s: Pick<Scene, 'height' | 'head'>) => s.height - s.head - BAND

export function top(s: Scene, box: { y: number }) {
  const size = s.layout.height / scaleY(s)
  const middle = size < room(s) ? (room(s) - size) / 2 : 0
  return s.head + middle + box.y / scaleY(s) - s.view.y
}

export const widthOf = (s: Scene, box: Box, least: number) => Math.max(s.layout.timed ? least : 1, box.w / s.view.per)
export const heightOf = (s: Scene, box: Box) => box.h / scaleY(s)

/** The box at a point, the uppermost of several. */
export function boxAt(s: Scene, x: number, y: number): number {
  return s.layout.boxes.findLastIndex((box) => {
    const left = px(s, box.x)
    const above = top(s, box)
    return x >= left - 2 && x <= left + widthOf(s, box, 4) + 2 && y >= above - 1 && y <= above + heightOf(s, box) + 1
  })
}

/** The flag at a point: the one whose pole is the nearest on the left, where its name stands. */
export function flagAt(s: Scene, x: number, y: number): number {
  if (!s.layout.timed || y < s.head - FLAGS || y > s.head) return -1
  return s.flags.findLastIndex((one) => px(s, one.at) - 4 <= x && x < px(s, one.at) + 90)
}
