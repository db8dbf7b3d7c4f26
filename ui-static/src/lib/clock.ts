// What time it is for the server, as far as its answers tell.
//
// Runs are due, late and ended by the server's clock. A browser whose own is an hour off would ask for
// the wrong window and call a run that has just begun an hour old.

/** A difference that neither the second's precision of an answer's date nor the way explains. */
const TELLING_MS = 2000

let ahead = 0
const listeners = new Set<() => void>()

/** Now, by the server's clock. */
export const now = (): number => Date.now() + ahead

/** By how much the server's clock is ahead of this computer's; 0 while nothing speaks against it. */
export const skew = (): number => ahead

/** By how much a server is ahead whose answer to what was sent then is dated so; null while that is within what cannot be told. */
export function difference(dated: string | null, sent: number, answered: number): number | null {
  // An answer's date says the second in which it was made.
  const at = Date.parse(dated ?? '') + 500
  if (!Number.isFinite(at)) return null
  const off = at - (sent + answered) / 2
  return Math.abs(off) > TELLING_MS + (answered - sent) / 2 ? off : 0
}

/** Takes the time from an answer. */
export function notice(dated: string | null, sent: number, answered: number) {
  const off = difference(dated, sent, answered)
  if (off === null || Math.abs(off - ahead) <= TELLING_MS) return
  ahead = off
  for (const listener of listeners) listener()
}

/** Calls `listener` when the clocks turn out to differ by something else. */
export function onSkew(listener: () => void) {
  listeners.add(listener)
}
