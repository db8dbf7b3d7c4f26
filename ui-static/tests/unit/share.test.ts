import { afterEach, expect, test, vi } from 'vitest'
import { Switchboard, type Listener } from '../../src/lib/share'
import type { Ask } from '../../src/lib/stream'

/** A server whose answers are written by hand. */
function server() {
  const asked: (string | null)[] = []
  const streams: ReadableStreamDefaultController<Uint8Array>[] = []
  const gone: number[] = []
  let status = 200
  vi.stubGlobal(
    'fetch',
    async (_: string, { headers, signal }: { headers: Record<string, string>; signal: AbortSignal }) => {
      const number = asked.push(headers['last-event-id'] ?? null) - 1
      signal.addEventListener('abort', () => (gone.push(number), streams[number]?.error(new Error('aborted'))))
      return new Response(new ReadableStream({ start: (c) => void (streams[number] = c) }), { status })
    },
  )
  const soon = () => new Promise((done) => setTimeout(done, 5))
  return {
    asked,
    gone,
    refuse: (code: number) => (status = code),
    say: async (name: string, number: number, epoch = 'a', on = streams.length - 1, data = '{}') => {
      await soon()
      streams[on]!.enqueue(new TextEncoder().encode(`event: ${name}\nid: ${epoch}-${number}\ndata: ${data}\n\n`))
      await soon()
    },
    end: async () => (streams.at(-1)!.close(), soon()),
    soon,
  }
}

/** A window, and what it has heard. */
function window(last: string | null) {
  const heard: string[] = []
  const one: Listener = {
    last,
    hear: (events) => heard.push(...events.map((e) => `${e.name} ${e.id}`)),
    over: (end) => heard.push(end),
  }
  return { one, heard, take: () => heard.splice(0) }
}

const ask = (last: string | null, who = ''): Ask => ({ url: '/ui/stream', headers: { authorization: who }, last })
const join = (board: Switchboard, last: string | null, who = '') => {
  const made = window(last)
  return { ...made, leave: board.connect(ask(last, who), made.one) }
}
afterEach(() => vi.unstubAllGlobals())

test('windows share a connection, and each is told what it has missed', async () => {
  const far = server()
  const board = new Switchboard()
  const first = join(board, 'a-3')
  const second = join(board, 'a-4')
  await far.say('beat', 3)
  expect([first.take(), second.take()]).toEqual([['beat a-3'], ['beat a-3']])
  await far.say('changes', 5)
  await far.say('changes', 7)
  const late = join(board, 'a-5')
  const upToDate = join(board, 'a-9')
  expect([late.take(), upToDate.take()]).toEqual([['changes a-7', 'beat a-7'], ['beat a-7']])
  await far.say('changes', 9)
  expect([first.take(), late.take()]).toEqual([['changes a-5', 'changes a-7', 'changes a-9'], ['changes a-9']])
  expect(far.asked).toEqual(['a-3'])
})

test('who comes from before what is kept, or from another server, looks anew', async () => {
  const far = server()
  const board = new Switchboard()
  join(board, 'a-3')
  const older = join(board, 'a-1')
  await far.say('beat', 3)
  expect(older.take()).toEqual(['lost a-3'])
  expect(join(board, 'b-3').take()).toEqual(['lost a-3'])
  // Who knows of nothing sees to that itself.
  expect(join(board, null).take()).toEqual(['beat a-3'])
  // The server has begun anew and says so; who has read from it already has missed nothing.
  await far.say('lost', 1, 'c')
  await far.say('changes', 2, 'c')
  expect([join(board, 'a-3').take(), join(board, 'c-1').take(), join(board, 'c-2').take()]).toEqual([
    ['lost c-2'],
    ['changes c-2', 'beat c-2'],
    ['beat c-2'],
  ])
})

test('no more is kept than a while of it', async () => {
  const far = server()
  const board = new Switchboard()
  join(board, 'a-0')
  for (let i = 1; i <= 3; i++) await far.say('changes', i, 'a', 0, ' '.repeat(200_000))
  expect(join(board, 'a-0').take()).toEqual(['lost a-3'])
  expect(join(board, 'a-1').take()).toEqual(['changes a-2', 'changes a-3', 'beat a-3'])
})

test('the connection goes with the last window, and with each who somebody is', async () => {
  const far = server()
  const board = new Switchboard()
  const [one, two, other] = [join(board, 'a-1'), join(board, 'a-1'), join(board, 'a-1', 'somebody else')]
  await far.say('beat', 1, 'a', 0)
  expect(far.asked).toHaveLength(2)
  one.leave()
  await far.soon()
  expect(far.gone).toEqual([])
  two.leave()
  await far.soon()
  expect(far.gone).toEqual([0])
  expect(other.take()).toEqual([])
  // Whoever comes back goes on from where it was.
  join(board, 'a-1')
  await far.say('beat', 1)
  expect(far.asked).toEqual(['a-1', 'a-1', 'a-1'])
})

test('an end is told to all, and one attempt that fails is that of all', async () => {
  const far = server()
  const board = new Switchboard()
  const both = [join(board, 'a-1'), join(board, 'a-1')]
  await far.say('beat', 1)
  far.refuse(503)
  await far.end()
  expect(both.map((w) => w.take())).toEqual([
    ['beat a-1', 'ended'],
    ['beat a-1', 'ended'],
  ])
  const again = join(board, 'a-1')
  await far.soon()
  const after = join(board, 'a-1')
  expect([again.take(), after.take()]).toEqual([['refused'], ['refused']])
  expect(far.asked).toHaveLength(2)
  await new Promise((done) => setTimeout(done, 450))
  far.refuse(401)
  const barred = join(board, 'a-1')
  await far.soon()
  expect(barred.take()).toEqual(['barred'])
})
