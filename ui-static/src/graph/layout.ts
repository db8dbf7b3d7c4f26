// Where the nodes of a run's graph lie. Pure functions of the columns, so that they can be tested without a canvas.

import type { GraphColumns } from '../lib/types'

export type GraphMode = 'time' | 'dependencies' | 'lanes'

export interface Box {
  /** The nodes it stands for, as indices; one, unless siblings are folded. */
  nodes: number[]
  /** Horizontal place: milliseconds on a time axis, pixels otherwise. */
  x: number
  w: number
  row: number
  /** Pixels from the top. */
  y: number
  h: number
  label: string
}

export interface Layout {
  boxes: Box[]
  /** Pairs of boxes. */
  edges: [number, number][]
  /** Whether x is time. */
  timed: boolean
  start: number
  end: number
  height: number
  /** Names at the left of each lane; `depth` is how many subflows it lies in. */
  lanes: { label: string; y: number; h: number; count: number; depth: number }[]
  /** Where the task runs of an unfolded subflow lie, below its name. */
  frames: { label: string; y: number; h: number; depth: number }[]
}

/** A run's columns followed by those of its unfolded subflows. */
export interface Unfolded {
  g: GraphColumns
  /** The node that stands for the subflow in which a node is; -1 for the run's own. */
  owner: number[]
}

/** Puts the columns of subflows, by the id of their run, behind those of the run; subflows of subflows too. */
export function unfold(g: GraphColumns, inner: ReadonlyMap<string, GraphColumns>): Unfolded {
  if (!inner.size) return { g, owner: new Array<number>(g.id.length).fill(-1) }
  const names = Object.keys(g) as (keyof GraphColumns)[]
  const all = Object.fromEntries(names.map((name) => [name, [...g[name]]])) as unknown as GraphColumns
  const owner = new Array<number>(g.id.length).fill(-1)
  const seen = new Set<string>()
  // The list grows while it is walked, so that what lies deeper is found.
  for (let i = 0; i < all.id.length; i++) {
    const child = all.child[i]
    const columns = child && !seen.has(child) ? inner.get(child) : undefined
    if (!columns) continue
    seen.add(child!)
    const from = all.id.length
    for (const name of names) {
      const values =
        name === 'upstream'
          ? columns.upstream.map((list) => list.map((u) => u + from))
          : name === 'artifacts'
            ? columns.artifacts.map((a) => ({ ...a, node: a.node == null ? i : a.node + from }))
            : columns[name]
      // A loop, since as many arguments as a run may have task runs are more than a call takes.
      for (const value of values) (all[name] as unknown[]).push(value)
    }
    for (let k = 0; k < columns.id.length; k++) owner.push(i)
  }
  return { g: all, owner }
}

const BOX = 20

/** The window of a run: its own times stretched by those of its tasks, never empty. */
export function extent(g: GraphColumns, start: number | null, end: number | null, now: number): [number, number] {
  let from = start ?? Infinity
  let to = end ?? -Infinity
  for (let i = 0; i < g.id.length; i++) {
    const s = g.start[i]
    if (s != null && s < from) from = s
    const e = g.end[i] ?? (s != null && end == null ? now : s)
    if (e != null && e > to) to = e
  }
  if (!Number.isFinite(from)) from = now - 1000
  if (end == null && start != null) to = Math.max(to, now)
  if (!Number.isFinite(to) || to - from < 50) to = from + 50
  return [from, to]
}

/** Puts intervals, ordered by start, into the first row that is free; few rows, as a person would place them. */
export function pack(
  order: number[],
  begin: (i: number) => number,
  finish: (i: number) => number,
  gap: number,
): { row: Map<number, number>; rows: number } {
  // Two heaps: rows in use by when they become free, and free rows by their place. A wide fan costs n log n.
  const busy = new Heap()
  const free = new Heap()
  const row = new Map<number, number>()
  let rows = 0
  for (const i of order) {
    const start = begin(i)
    while (busy.size && busy.least <= start) {
      const r = busy.pop()
      free.push(r, r)
    }
    const r = free.size ? free.pop() : rows++
    busy.push(finish(i) + gap, r)
    row.set(i, r)
  }
  return { row, rows: Math.max(1, rows) }
}

/** Values by the least key. */
class Heap {
  #keys: number[] = []
  #values: number[] = []

  get size() {
    return this.#keys.length
  }

  get least() {
    return this.#keys[0]!
  }

  push(key: number, value: number) {
    const keys = this.#keys
    const values = this.#values
    let i = keys.length
    while (i > 0) {
      const up = (i - 1) >> 1
      if (keys[up]! <= key) break
      keys[i] = keys[up]!
      values[i] = values[up]!
      i = up
    }
    keys[i] = key
    values[i] = value
  }

  pop(): number {
    const keys = this.#keys
    const values = this.#values
    const out = values[0]!
    const key = keys.pop()!
    const value = values.pop()!
    const n = keys.length
    if (n) {
      let i = 0
      for (;;) {
        let down = 2 * i + 1
        if (down >= n) break
        if (down + 1 < n && keys[down + 1]! < keys[down]!) down++
        if (keys[down]! >= key) break
        keys[i] = keys[down]!
        values[i] = values[down]!
        i = down
      }
      keys[i] = key
      values[i] = value
    }
    return out
  }
}

const isBad = (type: GraphColumns['state_type'][number] | undefined) => type === 'FAILED' || type === 'CRASHED'

/** Nodes by the subflow they are in, each list in the order of their starts. */
function byOwner({ g, owner }: Unfolded, fallback: number): Map<number, number[]> {
  const lists = new Map<number, number[]>()
  owner.forEach((o, i) => {
    const list = lists.get(o)
    if (list) list.push(i)
    else lists.set(o, [i])
  })
  for (const list of lists.values()) list.sort((a, b) => (g.start[a] ?? fallback) - (g.start[b] ?? fallback) || a - b)
  return lists
}

const finishOf = (g: GraphColumns, start: number, now: number) => (i: number) =>
  Math.max(g.end[i] ?? (g.start[i] == null ? start : now), g.start[i] ?? start)

/** Room for the name of an unfolded subflow. */
const TITLE = 18

/** Each task run on a time axis, in the first row that is free; those of unfolded subflows in frames below. */
export function timeLayout(all: Unfolded, span: [number, number], now: number): Layout {
  const { g } = all
  const [start, end] = span
  const finish = finishOf(g, start, now)
  const begin = (i: number) => g.start[i] ?? end
  const few = g.id.length <= 60
  // Few bars get rows of their own with room for the name; many are packed.
  const gap = (end - start) * (few ? 0.16 : 0.004)
  const lists = byOwner(all, end)
  const packed = new Map([...lists].map(([o, order]) => [o, packList(g, order, few, begin, finish, gap)]))
  const rows = [...packed.values()].reduce((n, one) => n + one.rows, 0)
  const h = rows > 400 ? 4 : rows > 120 ? 8 : rows > 40 ? 14 : BOX
  const step = h + (h > 10 ? 6 : h > 5 ? 2 : 1)
  const boxes: Box[] = []
  const frames: Layout['frames'] = []
  let y = 0
  const place = (o: number, depth: number) => {
    const list = packed.get(o)
    if (!list) return
    const top = y
    if (o >= 0) y += TITLE
    for (const i of lists.get(o)!)
      boxes.push({
        nodes: [i],
        x: begin(i),
        w: finish(i) - begin(i),
        row: list.row.get(i)!,
        y: y + list.row.get(i)! * step,
        h,
        label: g.name[i]!,
      })
    y += list.rows * step
    const frame = { label: o < 0 ? '' : g.name[o]!, y: top, h: 0, depth }
    if (o >= 0) frames.push(frame)
    for (const i of lists.get(o)!) if (packed.has(i)) place(i, depth + 1)
    if (o >= 0) {
      y += 4
      frame.h = y - top
      y += 4
    }
  }
  place(-1, 0)
  const at = new Map(boxes.map((box, b) => [box.nodes[0]!, b]))
  return { boxes, edges: edgesOf(g, (i) => at.get(i)!), timed: true, start, end, height: y, lanes: [], frames }
}

function packList(
  g: GraphColumns,
  order: number[],
  few: boolean,
  begin: (i: number) => number,
  finish: (i: number) => number,
  gap: number,
) {
  // Among many, what failed lies on top, where it cannot be missed.
  const top = few ? [] : order.filter((i) => isBad(g.state_type[i]))
  if (!top.length) return pack(order, begin, finish, gap)
  const first = pack(top, begin, finish, gap)
  const rest = order.filter((i) => !isBad(g.state_type[i]))
  if (!rest.length) return first
  const below = pack(rest, begin, finish, gap)
  return {
    row: new Map([...first.row, ...[...below.row].map(([i, r]) => [i, r + first.rows] as const)]),
    rows: first.rows + below.rows,
  }
}

/** One lane for each task, its runs packed inside: what ran how often, side by side. Below a subflow lie the lanes of its own tasks. */
export function laneLayout(all: Unfolded, span: [number, number], now: number): Layout {
  const { g } = all
  const [start, end] = span
  const lists = byOwner(all, end)
  const finish = finishOf(g, start, now)
  const begin = (i: number) => g.start[i] ?? end
  const boxes: Box[] = []
  const lanes: Layout['lanes'] = []
  let y = 0
  const lane = (nodes: number[], label: string, depth: number) => {
    const { row, rows } = pack(nodes, begin, finish, (end - start) * 0.002)
    const h = rows > 60 ? 3 : rows > 20 ? 5 : rows > 6 ? 9 : 16
    const step = h + 1.5
    const height = Math.max(24, rows * step + 8)
    lanes.push({ label, y, h: height, count: nodes.length, depth })
    for (const i of nodes)
      boxes.push({
        nodes: [i],
        x: begin(i),
        w: finish(i) - begin(i),
        row: row.get(i)!,
        y: y + 4 + row.get(i)! * step,
        h,
        label: '',
      })
    y += height
  }
  const place = (list: number[], depth: number) => {
    const groups = new Map<string, number[]>()
    for (const i of list) {
      const key = g.task_key[i]!
      if (!groups.has(key)) groups.set(key, [])
      groups.get(key)!.push(i)
    }
    for (const nodes of groups.values()) {
      // Several subflows of one kind that are unfolded have a lane each, so that it is seen what is whose.
      const open = nodes.filter((i) => lists.has(i))
      const folded = open.length ? nodes.filter((i) => !lists.has(i)) : nodes
      if (folded.length) lane(folded, baseName(g.name[folded[0]!]!), depth)
      for (const i of open) {
        lane([i], open.length > 1 ? g.name[i]! : baseName(g.name[i]!), depth)
        place(lists.get(i)!, depth + 1)
      }
    }
  }
  place(lists.get(-1) ?? [], 0)
  return { boxes, edges: [], timed: true, start, end, height: y, lanes, frames: [] }
}

/** The task's name in a task run's: `Augment data-e6ffc28f-12` is `Augment data`. */
export function baseName(name: string): string {
  return name
    .replace(/-[0-9a-f]{3,8}-\d+$/i, '')
    .replace(/-\d+$/, '')
    .replace(/-[0-9a-f]{3}$/i, '')
}

/** Siblings of one task that wait for the same and are awaited by the same kinds, as one group each. */
export function fold(g: GraphColumns): number[][] {
  const down: Set<string>[] = g.id.map(() => new Set())
  g.upstream.forEach((ups, i) => ups.forEach((u) => down[u]!.add(g.task_key[i]!)))
  const groups = new Map<string, number[]>()
  g.id.forEach((_, i) => {
    const ups = [...new Set(g.upstream[i]!.map((u) => g.task_key[u]!))].sort().join('\u0001')
    const key = `${g.task_key[i]}\u0002${ups}\u0002${[...down[i]!].sort().join('\u0001')}`
    if (!groups.has(key)) groups.set(key, [])
    groups.get(key)!.push(i)
  })
  return [...groups.values()].flatMap((nodes) => (nodes.length >= 5 ? [nodes] : nodes.map((i) => [i])))
}

export const NODE_W = 190
export const NODE_H = 40

/** Layers by the longest path, for graphs that are too large for dagre's ordering. */
export function layered(count: number, edges: [number, number][]): number[] {
  const layer = new Array<number>(count).fill(0)
  const into = new Array<number>(count).fill(0)
  const out: number[][] = Array.from({ length: count }, () => [])
  for (const [a, b] of edges) {
    out[a]!.push(b)
    into[b]!++
  }
  const ready = into.flatMap((n, i) => (n ? [] : [i]))
  for (let k = 0; k < ready.length; k++) {
    const a = ready[k]!
    for (const b of out[a]!) {
      layer[b] = Math.max(layer[b]!, layer[a]! + 1)
      if (--into[b]! === 0) ready.push(b)
    }
  }
  return layer
}

/** What waits for what, left to right, siblings folded. */
export async function dependencyLayout(g: GraphColumns): Promise<Layout> {
  const groups = fold(g)
  const of = new Array<number>(g.id.length)
  groups.forEach((nodes, b) => nodes.forEach((i) => (of[i] = b)))
  const edges = edgesOf(g, (i) => of[i]!)
  const boxes = groups.map((nodes): Box => ({
    nodes,
    x: 0,
    w: NODE_W,
    row: 0,
    y: 0,
    h: NODE_H,
    label: nodes.length > 1 ? `${baseName(g.name[nodes[0]!]!)} × ${nodes.length}` : g.name[nodes[0]!]!,
  }))
  if (boxes.length <= 400 && edges.length <= 1500) {
    const { graphlib, layout } = (await import('@dagrejs/dagre')).default
    const graph = new graphlib.Graph()
    graph.setGraph({ rankdir: 'LR', nodesep: 14, ranksep: 64 })
    graph.setDefaultEdgeLabel(() => ({}))
    boxes.forEach((_, b) => graph.setNode(String(b), { width: NODE_W, height: NODE_H }))
    edges.forEach(([a, b]) => graph.setEdge(String(a), String(b)))
    layout(graph)
    boxes.forEach((box, b) => {
      const node = graph.node(String(b)) as { x: number; y: number }
      box.x = node.x - NODE_W / 2
      box.y = node.y - NODE_H / 2
    })
  } else {
    const fill = new Map<number, number>()
    layered(boxes.length, edges).forEach((layer, b) => {
      const n = fill.get(layer) ?? 0
      fill.set(layer, n + 1)
      boxes[b]!.x = layer * (NODE_W + 90)
      boxes[b]!.y = n * (NODE_H + 10)
    })
  }
  const start = Math.min(0, ...boxes.slice(0, 5000).map((b) => b.x))
  let end = NODE_W
  let height = NODE_H
  for (const b of boxes) {
    end = Math.max(end, b.x + b.w)
    height = Math.max(height, b.y + b.h)
  }
  return { boxes, edges, timed: false, start, end, height, lanes: [], frames: [] }
}

function edgesOf(g: GraphColumns, box: (node: number) => number): [number, number][] {
  const seen = new Set<number>()
  const out: [number, number][] = []
  const n = g.id.length + 1
  g.upstream.forEach((ups, i) => {
    for (const u of ups) {
      const a = box(u)
      const b = box(i)
      if (a === b || seen.has(a * n + b)) continue
      seen.add(a * n + b)
      out.push([a, b])
    }
  })
  return out
}
