// Up to which change the first answer knows what happened. The stream of changes goes on from there, so that
// nothing is missed between the two, whichever is there first.

let tell: (mark: string | null) => void

/** The mark of the first answer; null if it says none. */
export const firstSeen = new Promise<string | null>((done) => (tell = done))

/** Takes the mark of an answer; only the first counts. */
export const see = (mark: string | null) => tell(mark)
