import { expect, test, vi } from 'vitest'
import { timeLayout, unfold } from '../../src/graph/layout'
import type { Scene } from '../../src/graph/scene'
import type { GraphColumns, State } from '../../src/lib/types'

// The colours of the theme are of no matter here, and come from a page that is not there.
vi.mock('../../src/lib/theme.svelte', () => ({ readable: () => 'black' }))
const { paint, COLOURS } = await import('../../src/graph/painting')

/** A canvas that only tells which rectangles it was filled with, and in which order texts came. */
function canvas() {
  const rects: [colour: string, x: number, y: number, w: number][] = []
  const c = new Proxy({ fillStyle: '' } as Record<string, unknown>, {
    get: (own, name: string) =>
      name === 'fillRect'
        ? (x: number, y: number, w: number) => rects.push([String(own.fillStyle), x, y, w])
        : name === 'measureText'
          ? (text: string) => ({ width: text.length * 6 })
          : (own[name] ?? (() => null)),
    set: (own, name: string, value) => ((own[name] = value), true),
  })
  return { c: c as unknown as CanvasRenderingContext2D, rects }
}

test('the band of states ends where the run does, not at the edge of the graph', () => {
  const graph: GraphColumns = {
    id: ['a'],
    name: ['a'],
    task_key: ['a'],
    state_type: ['COMPLETED'],
    state_name: ['Completed'],
    start: [0],
    end: [1000],
    upstream: [[]],
    child: [null],
    artifacts: [],
  }
  const state = (type: string, at: number) => ({ type, name: null, timestamp: new Date(at).toISOString() })
  const scene = {
    layout: timeLayout(unfold(graph, new Map()), [0, 1000], 1000),
    graph,
    tones: ['completed'],
    states: [state('PENDING', 0), state('RUNNING', 100)] as unknown as State[],
    until: 500,
    flags: [],
    view: { x: 0, per: 2, y: 0, zoom: 1 },
    width: 600,
    height: 100,
    left: 12,
    head: 22,
    over: -1,
    flag: -1,
    marked: -1,
  } satisfies Scene
  const { c, rects } = canvas()
  paint({ c, s: scene, colour: Object.fromEntries(COLOURS.map((name) => [name, name])), font: 'x' })
  const band = rects.filter(([, , y]) => y === 94)
  expect(band).toEqual([
    ['pending', 12, 94, 50],
    ['running', 62, 94, 200],
  ])
})
