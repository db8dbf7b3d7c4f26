// What another person did to a thing while somebody has it open in a dialog.

/** Names what is no longer as it was when the dialog was opened; null where all is. */
export function changes<T extends Record<string, string>>(was: T, now: T | null | undefined): string | null {
  if (!now) return 'Somebody deleted it meanwhile.'
  const other = Object.keys(was).filter((key) => was[key] !== now[key])
  return other.length
    ? `Somebody changed it meanwhile: ${other.map((key) => `${key} is now ${now[key] || 'none'}`).join(', ')}.`
    : null
}
