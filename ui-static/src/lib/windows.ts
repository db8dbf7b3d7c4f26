// How the windows of one browser come to one stream of changes.
//
// Over HTTP/1.1 a browser has six connections to a host, and a stream takes one for good: with a stream of its own
// for each of six windows nothing else would ever be answered. So a shared worker has the stream. Locks between windows
// would need HTTPS or this machine, and a window that was put to sleep would keep the stream from the others; a worker
// needs neither and goes with the last window. Where there is none, few windows have streams and the others poll.

import address from '../streams?worker&url'
import { HERE_MS, SILENCE_MS, listen, type Ask, type End, type Hear, type Said, type Told } from './stream'

/** Without a shared worker no more windows than this have a stream. */
const MOST = 3
/** How long the others have to say that they have one. */
const ASK_MS = 200

/** What makes an address one of a script, for a browser that takes no other; it knows this one only. */
const policy = (
  window as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(text: string): string } } }
).trustedTypes

let script: string | undefined

function worker(): SharedWorker | null {
  try {
    script ??= policy
      ? policy.createPolicy('prefect-rs-streams', { createScriptURL: () => address }).createScriptURL('')
      : address
    return new SharedWorker(script, { name: 'prefect-rs' })
  } catch {
    return null
  }
}

/** Listens until the connection ends, or until nobody wants to any more. */
export async function listenTogether(ask: Ask, hear: Hear, stop: AbortSignal): Promise<End> {
  const shared = worker()
  const end = shared && (await throughWorker(shared, ask, hear, stop))
  return end ?? alone(ask, hear, stop)
}

/** Listens with the other windows; null where the worker cannot be had. */
function throughWorker(shared: SharedWorker, ask: Ask, hear: Hear, stop: AbortSignal): Promise<End | null> {
  const { port } = shared
  const say = (what: Said) => port.postMessage(what)
  return new Promise((done) => {
    const finish = (end: End | null) => {
      clearTimeout(silence)
      clearInterval(here)
      stop.removeEventListener('abort', aborted)
      say('bye')
      port.close()
      done(end)
    }
    const aborted = () => finish('ended')
    // The worker ends a connection that is silent; this is for a worker that is gone itself.
    const wait = () => setTimeout(() => finish('ended'), SILENCE_MS + 5000)
    let silence = wait()
    const here = setInterval(() => say('here'), HERE_MS)
    stop.addEventListener('abort', aborted)
    shared.onerror = () => finish(null)
    port.onmessage = ({ data }: MessageEvent<Told>) => {
      if ('end' in data) return finish(data.end)
      clearTimeout(silence)
      silence = wait()
      hear(data.events)
    }
    say({ ask })
  })
}

/** Listens by a connection of this window's own, unless enough others have one. */
async function alone(ask: Ask, hear: Hear, stop: AbortSignal): Promise<End> {
  const room = new BroadcastChannel('prefect-rs.streams')
  const me = Math.random()
  let isIn = false
  let others = 0
  room.onmessage = ({ data }: MessageEvent<{ asks?: number; has?: number }>) => {
    // Of those that ask at once the lower number goes first.
    if (data.asks !== undefined && (isIn || me < data.asks)) room.postMessage({ has: data.asks })
    else if (data.has === me) others++
  }
  try {
    room.postMessage({ asks: me })
    await new Promise((done) => setTimeout(done, ASK_MS))
    if (others >= MOST) return 'full'
    isIn = true
    return await listen(ask, hear, stop)
  } finally {
    room.close()
  }
}
