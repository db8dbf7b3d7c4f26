// The shared worker that has the stream of changes for all windows of a browser; `lib/windows.ts` says why.

import { Switchboard } from './lib/share'
import { HERE_MS, type Said, type Told } from './lib/stream'

const board = new Switchboard()

function serve(port: MessagePort) {
  const tell = (what: Told) => port.postMessage(what)
  let leave = () => {}
  let heard = Date.now()
  const go = () => {
    leave()
    leave = () => {}
    port.close()
  }
  port.onmessage = ({ data }: MessageEvent<Said>) => {
    heard = Date.now()
    if (data === 'bye') go()
    else if (data !== 'here') {
      leave()
      leave = board.connect(data.ask, {
        last: data.ask.last,
        // A window that crashed says nothing any more.
        hear: (events) => (Date.now() - heard > 3 * HERE_MS ? go() : tell({ events })),
        over: (end) => tell({ end }),
      })
    }
  }
}

const scope = self as unknown as { onconnect: (event: MessageEvent) => void }
scope.onconnect = (event) => serve(event.ports[0]!)
