import { describe, expect, test } from 'vitest'
import { fold, laneLayout, layered, pack, timeLayout, unfold } from '../../src/graph/layout'
import type { GraphColumns } from '../../src/lib/types'

describe('the graph', () => {
  const fan = (n: number): GraphColumns => ({
    id: Array.from({ length: n + 2 }, (_, i) => String(i)),
    name: Array.from({ length: n + 2 }, (_, i) => `t-${i}`),
    task_key: ['root', ...Array.from({ length: n }, () => 'part'), 'join'],
    state_type: Array.from({ length: n + 2 }, () => 'COMPLETED' as const),
    state_name: Array.from({ length: n + 2 }, () => 'Completed'),
    start: Array.from({ length: n + 2 }, (_, i) => i),
    end: Array.from({ length: n + 2 }, (_, i) => i + 5),
    upstream: [[], ...Array.from({ length: n }, () => [0]), Array.from({ length: n }, (_, i) => i + 1)],
    child: Array.from({ length: n + 2 }, () => null),
    artifacts: [],
  })
  test('siblings fold into one node', () => {
    expect(fold(fan(100)).map((g) => g.length)).toEqual([1, 100, 1])
    expect(fold(fan(3)).length).toBe(5)
  })
  test('intervals in a row never overlap', () => {
    const spans = Array.from({ length: 500 }, (_, i) => [i * 3, i * 3 + ((i * 37) % 90) + 1] as const)
    const { row } = pack(
      spans.map((_, i) => i),
      (i) => spans[i]![0],
      (i) => spans[i]![1],
      1,
    )
    const last = new Map<number, number>()
    spans.forEach(([s, e], i) => {
      expect(s).toBeGreaterThanOrEqual(last.get(row.get(i)!) ?? 0)
      last.set(row.get(i)!, e)
    })
  })
  test('a node lies behind all that it waits for', () => {
    expect(
      layered(4, [
        [0, 1],
        [1, 2],
        [0, 2],
        [2, 3],
      ]),
    ).toEqual([0, 1, 2, 3])
  })

  const one = (name: string, start: number, end: number, child: string | null = null) => ({
    id: name,
    name,
    task_key: name.replace(/-\d+$/, ''),
    state_type: 'COMPLETED' as const,
    state_name: 'Completed',
    start,
    end,
    upstream: [] as number[],
    child,
  })
  const columns = (nodes: ReturnType<typeof one>[]) =>
    Object.fromEntries(
      Object.keys(nodes[0]!)
        .map((name) => [name, nodes.map((n) => n[name as keyof typeof n])])
        .concat([['artifacts', []]]),
    ) as unknown as Parameters<typeof fold>[0]
  const outer = columns([
    one('call-0', 0, 10),
    one('sub-0', 10, 60, 'A'),
    one('sub-1', 12, 70, 'B'),
    { ...one('write-0', 70, 80), upstream: [1] },
  ])
  const sub = columns([one('fetch-0', 12, 20), { ...one('check-0', 20, 50, 'C'), upstream: [0] }])
  const deep = {
    ...columns([one('look-0', 22, 40)]),
    artifacts: [
      { id: 'a', key: 'report', type: 'table', node: 0, at: 40 },
      { id: 'b', key: null, type: null, node: null, at: 41 },
    ],
  }
  test('unfolded subflows keep who waits for whom and whose they are, subflows of subflows too', () => {
    const { g, owner } = unfold(
      outer,
      new Map([
        ['A', sub],
        ['C', deep],
      ]),
    )
    expect(g.name).toEqual(['call-0', 'sub-0', 'sub-1', 'write-0', 'fetch-0', 'check-0', 'look-0'])
    expect(owner).toEqual([-1, -1, -1, -1, 1, 1, 5])
    expect(g.upstream).toEqual([[], [], [], [1], [], [4], []])
    expect(g.artifacts.map((a) => a.node)).toEqual([6, 5])
    expect(outer.name.length, 'the run itself is left as it is').toBe(4)
  })
  test('lanes of a subflow lie below its own, deeper ones further in; the folded stay together', () => {
    const { lanes, height } = laneLayout(
      unfold(
        outer,
        new Map([
          ['A', sub],
          ['C', deep],
        ]),
      ),
      [0, 80],
      80,
    )
    expect(lanes.map((l) => `${' '.repeat(l.depth)}${l.label} ${l.count}`)).toEqual([
      'call 1',
      'sub 1',
      'sub 1',
      ' fetch 1',
      ' check 1',
      '  look 1',
      'write 1',
    ])
    lanes.slice(1).forEach((lane, i) => expect(lane.y).toBe(lanes[i]!.y + lanes[i]!.h))
    expect(height).toBe(lanes.at(-1)!.y + lanes.at(-1)!.h)
  })
  test('on the axis of time an unfolded subflow has a frame around its own task runs', () => {
    const layout = timeLayout(
      unfold(
        outer,
        new Map([
          ['A', sub],
          ['C', deep],
        ]),
      ),
      [0, 80],
      80,
    )
    expect(layout.frames.map((f) => [f.label, f.depth])).toEqual([
      ['sub-0', 1],
      ['check-0', 2],
    ])
    const [frame, inner] = layout.frames as [(typeof layout.frames)[0], (typeof layout.frames)[0]]
    const of = (node: number) => layout.boxes.find((b) => b.nodes[0] === node)!
    for (const node of [4, 5, 6]) expect(of(node).y).toBeGreaterThanOrEqual(frame.y)
    expect(of(6).y).toBeGreaterThan(inner.y)
    expect(inner.y + inner.h).toBeLessThanOrEqual(frame.y + frame.h)
    expect(of(3).y + of(3).h).toBeLessThanOrEqual(frame.y)
    expect(layout.edges.length).toBe(2)
  })
})
