// Dates and times of a form. A value that is set keeps its own clock: its offset, or that it has none, and its
// fractions of a second. Only one that begins empty goes by the viewer's.

const MOMENT = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)?(z|[+-]\d\d(?::?\d\d)?)?$/i

const parts = (value: unknown) => {
  const [, date, clock, second, fraction, offset] = (typeof value === 'string' && MOMENT.exec(value)) || []
  return date ? { date, clock: clock!, second, fraction, offset } : undefined
}

/** Whether a text can stand in a field for dates, or for dates and times. */
export const isMoment = (text: string, isDate: boolean) =>
  isDate ? /^\d{4}-\d\d-\d\d(?:[T ].*)?$/.test(text) : !!parts(text)

/** A date and time as the browser's field takes it, which knows no more than thousandths. */
export function shownMoment(value: string): string {
  const p = parts(value)
  if (!p) return ''
  const fraction = p.fraction ? `.${p.fraction.slice(0, 3).padEnd(3, '0')}` : ''
  return `${p.date}T${p.clock}${p.second ? `:${p.second}${fraction}` : ''}`
}

/** The finest step of the field of a value, in seconds. */
export const stepOf = (value: unknown) => (parts(value)?.fraction ? 0.001 : 1)

/** By which clock a value that is set goes. */
export function zoneWord(value: unknown): string {
  const p = parts(value)
  if (!p) return ''
  if (!p.offset) return ' without a time zone'
  return /^(?:z|[+-]00(?::?00)?)$/i.test(p.offset) ? ', UTC' : `, UTC${p.offset}`
}

/** What a text of the field means, by the clock of what was set, or else the viewer's. */
export function given(text: string, set: unknown): string {
  const p = parts(set)
  const typed = parts(text)
  if (!p || !typed) return new Date(text).toISOString()
  const shown = parts(shownMoment(set as string))!
  // What the field could not show is kept with what it shows of it.
  const isSame = Number(typed.fraction ?? 0) === Number(shown.fraction ?? 0) && p.fraction
  const fraction = isSame ? p.fraction : typed.fraction
  const second = typed.second ?? (p.second === undefined && !fraction ? undefined : '00')
  return `${typed.date}T${typed.clock}${second === undefined ? '' : `:${second}${fraction ? `.${fraction}` : ''}`}${p.offset ?? ''}`
}
