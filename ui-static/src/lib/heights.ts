// Where each line of a long list lies, when lines have heights of their own.
//
// Heights are kept in blocks with their sums, so that a hundred thousand lines are found in two short
// walks, and blocks that nobody has looked at cost nothing.

export class Heights {
  readonly #blocks: (Uint16Array | undefined)[]
  readonly #sums: Float64Array
  total: number

  constructor(
    readonly count: number,
    readonly usual: number,
    readonly block = 400,
  ) {
    const n = Math.ceil(count / block)
    this.#blocks = new Array<Uint16Array | undefined>(n)
    this.#sums = Float64Array.from({ length: n }, (_, b) => Math.min(block, count - b * block) * usual)
    this.total = count * usual
  }

  /** The same heights for a list that has grown. */
  grown(count: number): Heights {
    const out = new Heights(count, this.usual, this.block)
    this.#blocks.forEach((heights, b) =>
      heights?.forEach((h, i) => b * this.block + i < this.count && out.set(b * this.block + i, h)),
    )
    return out
  }

  get(i: number): number {
    return this.#blocks[Math.floor(i / this.block)]?.[i % this.block] ?? this.usual
  }

  /** Sets a height; returns by how much the list grew. */
  set(i: number, height: number): number {
    const more = height - this.get(i)
    if (!more) return 0
    const b = Math.floor(i / this.block)
    const heights = (this.#blocks[b] ??= new Uint16Array(this.block).fill(this.usual))
    heights[i % this.block] = height
    this.#sums[b]! += more
    this.total += more
    return more
  }

  /** Where a line begins. */
  top(i: number): number {
    const b = Math.min(Math.floor(i / this.block), this.#sums.length)
    let y = 0
    for (let k = 0; k < b; k++) y += this.#sums[k]!
    const heights = this.#blocks[b]
    if (!heights) return y + (i - b * this.block) * this.usual
    for (let k = 0; k < i - b * this.block; k++) y += heights[k]!
    return y
  }

  /** The line at a distance from the top. */
  at(y: number): number {
    let b = 0
    while (b < this.#sums.length - 1 && y >= this.#sums[b]!) y -= this.#sums[b++]!
    const heights = this.#blocks[b]
    const last = Math.max(0, this.count - 1)
    if (!heights) return Math.max(0, Math.min(last, b * this.block + Math.floor(y / this.usual)))
    let i = b * this.block
    for (let k = 0; k < this.block && y >= heights[k]!; k++) {
      y -= heights[k]!
      i++
    }
    return Math.min(last, i)
  }
}
