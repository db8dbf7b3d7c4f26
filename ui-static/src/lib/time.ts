// Times and durations in words. Instants arrive in UTC and are shown in the viewer's zone.

import { now as serverNow } from './clock'

/** A format that is made when it is first used: the first of a page takes longer than all else that a script does at its start. */
function format(options: Intl.DateTimeFormatOptions): (at: number | string | Date) => string {
  let made: Intl.DateTimeFormat | undefined
  return (at) => (made ??= new Intl.DateTimeFormat(undefined, options)).format(new Date(at))
}

export const clock = format({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
export const clockSeconds = format({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const dayOfYear = format({ weekday: 'short', month: 'short', day: 'numeric' })
const dayOfAny = format({ year: 'numeric', month: 'short', day: 'numeric' })

let zone: string | undefined
/** The viewer's time zone. */
export const zoneHere = (): string => (zone ??= Intl.DateTimeFormat().resolvedOptions().timeZone)

/** A moment by the clock of another zone; null where the browser does not know that zone. */
export function clockIn(zone: string, at: number | string | Date, seconds = false): string | null {
  try {
    return new Intl.DateTimeFormat(undefined, {
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      ...(seconds ? { second: '2-digit' } : {}),
      hourCycle: 'h23',
      timeZone: zone,
    }).format(new Date(at))
  } catch {
    return null
  }
}

/** A day, with its year where that is another one than the present. */
export function day(at: number | string | Date, now: number = serverNow()): string {
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? dayOfYear(at) : dayOfAny(at)
}

export const exact = format({
  weekday: 'short',
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hourCycle: 'h23',
  timeZoneName: 'short',
})

/** A moment as a person says it: the clock on the same day, day and clock otherwise. */
export function moment(at: number | string | Date, now: number = serverNow()): string {
  const date = new Date(at)
  const same = new Date(now).toDateString() === date.toDateString()
  return same ? clockSeconds(date) : `${day(date, now)}, ${clock(date)}`
}

/** A stretch of time, with its day once if it has only one. */
export function between(from: number | Date, to: number | Date): string {
  const isOneDay = new Date(from).toDateString() === new Date(to).toDateString()
  return `${day(from)}, ${clock(from)} – ${isOneDay ? '' : `${day(to)}, `}${clock(to)}`
}

const UNITS: [number, string][] = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'm'],
  [1, 's'],
]

/** A length of time in its two largest units: `3m 29s`, `1d 4h`, `0.4s`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return '–'
  if (seconds < 0) return `−${duration(-seconds)}`
  if (seconds < 0.001) return '0s'
  if (seconds < 1) return `${Math.round(seconds * 1000)}ms`
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toString()}s`
  let rest = Math.floor(seconds)
  const parts: string[] = []
  for (const [size, unit] of UNITS) {
    const n = Math.floor(rest / size)
    if (n > 0) {
      parts.push(`${n}${unit}`)
      rest -= n * size
    } else if (parts.length) break
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

/** How far away a moment is: `in 5m`, `12m ago`, `now`. */
export function away(at: number | string | Date, now: number = serverNow()): string {
  const seconds = (new Date(at).getTime() - now) / 1000
  const size = Math.abs(seconds)
  if (size < 1.5) return 'now'
  const words = size < 60 ? `${Math.floor(size)}s` : duration(Math.floor(size / 60) * 60).split(' ')[0]!
  const text = size >= 3600 && size < 86400 ? duration(Math.floor(size / 60) * 60) : words
  return seconds > 0 ? `in ${text}` : `${text} ago`
}

/** The value of a `datetime-local` input for a moment. */
export function localInput(at: Date): string {
  const pad = (n: number) => String(n).padStart(2, '0')
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}`
}

/** The clock that is meant by one of `datetime-local` that the viewer's skips in the night when clocks go forward. */
export function skipped(text: string): string | null {
  const at = new Date(text)
  const meant = Number.isNaN(at.getTime()) ? text : localInput(at)
  return text.slice(0, 16) === meant.slice(0, 16)
    ? null
    : `${text.slice(11, 16)} does not exist on that day: ${meant.slice(11)} is meant.`
}

/**
 * Round local times of a range, so many hours apart. They are counted from each midnight of the viewer's,
 * so that the night in which clocks change moves none of them.
 */
export function roundTimes(start: number, end: number, hours: number): number[] {
  const out: number[] = []
  const days = Math.max(1, Math.floor(hours / 24))
  const steps = hours < 24 ? Math.round(24 / hours) : 1
  const date = new Date(start)
  for (
    let day = new Date(date.getFullYear(), date.getMonth(), date.getDate());
    day.getTime() < end;
    day = new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1)
  ) {
    const number = Math.round(Date.UTC(day.getFullYear(), day.getMonth(), day.getDate()) / 86400e3)
    if (number % days) continue
    for (let k = 0; k < steps; k++) {
      const at = new Date(day.getFullYear(), day.getMonth(), day.getDate(), 0, k * hours * 60).getTime()
      if (at >= start && at < end && at > (out.at(-1) ?? -Infinity)) out.push(at)
    }
  }
  return out
}

/** Seconds of a span such as `1d`, `12h`, `30m`; undefined when it is not one. */
export function span(text: string): number | undefined {
  const match = /^(\d{1,5})(m|h|d|w)$/.exec(text)
  if (!match) return undefined
  const size = { m: 60, h: 3600, d: 86400, w: 604800 }[match[2] as 'm' | 'h' | 'd' | 'w']
  return Number(match[1]) * size
}

/** The shortest spelling of a span of seconds, the inverse of {@link span}. */
export function spell(seconds: number): string {
  for (const [size, unit] of [
    [604800, 'w'],
    [86400, 'd'],
    [3600, 'h'],
  ] as const) {
    if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`
  }
  return `${Math.max(1, Math.round(seconds / 60))}m`
}
