// Tags in a line of text: separated by commas, and in quotes where one has a comma of its own.

const isPlain = (tag: string) => tag !== '' && tag.trim() === tag && !tag.includes(',') && !tag.startsWith('"')

export const tagsText = (tags: readonly string[] | null | undefined): string =>
  (tags ?? []).map((tag) => (isPlain(tag) ? tag : JSON.stringify(tag))).join(', ')

/** The tags that a text names; what {@link tagsText} makes is read as it was. */
export function readTags(text: string): string[] {
  const out: string[] = []
  for (const [, one] of text.matchAll(/\s*("(?:[^"\\]|\\.)*"(?=\s*(?:,|$))|[^,]*)\s*(?:,|$)/g)) {
    const tag = one!.trim()
    if (tag) out.push(tag.startsWith('"') ? unquoted(tag) : tag)
  }
  return out
}

function unquoted(tag: string): string {
  try {
    return String(JSON.parse(tag))
  } catch {
    return tag
  }
}
