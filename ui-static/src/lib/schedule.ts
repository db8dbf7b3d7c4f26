// A schedule in words, so that nobody has to read cron at night.

import type { Schedule } from './types'
import { zoneHere } from './time'

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAY_CODES = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT']

/** UTC under any of its names. */
const isUtc = (zone: string) => /^(?:etc\/)?(?:utc|uct|zulu|universal|gmt|greenwich)$/i.test(zone)

/** The zone by whose clock a schedule goes, where that is another than the viewer's. */
export function zoneElsewhere(schedule: Schedule, here: string = zoneHere()): string | null {
  if (schedule.interval != null || isBySpan(schedule)) return null
  const zone = schedule.timezone || 'UTC'
  return zone === here || (isUtc(zone) && isUtc(here)) ? null : zone
}

/** Whether it says how far apart its runs are, and not at which hour. */
const isBySpan = ({ cron, rrule }: Schedule) =>
  cron
    ? /^\s*\S+ +\*( +\*)+\s*$|^@hourly$/.test(cron)
    : /FREQ=(?:HOURLY|MINUTELY|SECONDLY)/.test(rrule ?? '') && !/BYHOUR/.test(rrule ?? '')

/** A schedule in words; `here` is the zone of those who read them. */
export function describe(schedule: Schedule | null | undefined, here: string = zoneHere()): string {
  if (!schedule) return 'No schedule'
  const elsewhere = zoneElsewhere(schedule, here)
  const zone = elsewhere ? ` (${elsewhere})` : ''
  if (schedule.interval != null) return every(schedule.interval)
  if (schedule.cron) return `${cron(schedule.cron)}${zone}`
  if (schedule.rrule) return `${rrule(schedule.rrule)}${zone}`
  return 'No schedule'
}

function every(seconds: number): string {
  const names: [number, string][] = [
    [604800, 'week'],
    [86400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ]
  for (const [size, name] of names) {
    if (seconds % size === 0) {
      const n = seconds / size
      return n === 1 ? `Every ${name}` : `Every ${n} ${name}s`
    }
  }
  return `Every ${seconds} seconds`
}

const two = (n: string) => n.padStart(2, '0')
const list = (words: string[]) =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`

/** Cron in words where the pattern is a common one; the pattern itself otherwise. */
export function cron(text: string): string {
  const parts = text.trim().split(/\s+/)
  const shortcut = (
    {
      '@hourly': '0 * * * *',
      '@daily': '0 0 * * *',
      '@midnight': '0 0 * * *',
      '@weekly': '0 0 * * 0',
      '@monthly': '0 0 1 * *',
    } as Record<string, string>
  )[text.trim()]
  if (shortcut) return cron(shortcut)
  if (parts.length !== 5) return `Cron ${text}`
  const [minute, hour, dom, month, dow] = parts as [string, string, string, string, string]
  const time = clockWords(minute, hour)
  const on = dayWords(dom, month, dow)
  if (time == null || on == null) return `Cron ${text}`
  if (time.at && !on) return `Every day ${time.words}`
  if (time.at) return `${on[0]!.toUpperCase()}${on.slice(1)} ${time.words}`
  return `${time.words[0]!.toUpperCase()}${time.words.slice(1)}${on ? `, ${on}` : ''}`
}

function clockWords(minute: string, hour: string): { words: string; at: boolean } | null {
  const isNumber = (s: string) => /^\d{1,2}$/.test(s)
  const step = /^\*\/(\d+)$/
  if (minute === '*' && hour === '*') return { words: 'every minute', at: false }
  const minutes = step.exec(minute)
  if (minutes && hour === '*') return { words: `every ${minutes[1]} minutes`, at: false }
  if (isNumber(minute)) {
    if (hour === '*')
      return { words: minute === '0' ? 'every hour' : `every hour at minute ${Number(minute)}`, at: false }
    const hours = step.exec(hour)
    if (hours) return { words: `every ${hours[1]} hours at :${two(minute)}`, at: false }
    const range = /^(\d{1,2})-(\d{1,2})$/.exec(hour)
    if (range)
      return {
        words: `every hour from ${two(range[1]!)}:${two(minute)} to ${two(range[2]!)}:${two(minute)}`,
        at: false,
      }
    if (hour.split(',').every(isNumber))
      return { words: `at ${list(hour.split(',').map((h) => `${two(h)}:${two(minute)}`))}`, at: true }
  }
  const range = /^(\d{1,2})-(\d{1,2})$/.exec(hour)
  if (minutes && range)
    return { words: `every ${minutes[1]} minutes from ${two(range[1]!)}:00 to ${two(range[2]!)}:59`, at: false }
  return null
}

function dayIndex(code: string): number | null {
  if (/^[0-7]$/.test(code)) return Number(code) % 7
  const i = DAY_CODES.indexOf(code.toUpperCase())
  return i < 0 ? null : i
}

function dayWords(dom: string, month: string, dow: string): string | null {
  let months = ''
  if (month !== '*') {
    if (!/^\d{1,2}(,\d{1,2})*$/.test(month)) return null
    months = ` in ${list(month.split(',').map((m) => MONTHS[Number(m) - 1] ?? m))}`
  }
  if (dom === '*' && dow === '*') return months ? `every day${months}` : ''
  if (dom !== '*' && dow !== '*') return null
  if (dom !== '*') {
    if (dom === 'L') return `on the last day of the month${months}`
    if (!/^\d{1,2}(,\d{1,2})*$/.test(dom)) return null
    return `on day ${list(dom.split(','))} of ${months ? months.slice(4) : 'each month'}`
  }
  const range = /^(\w{1,3})-(\w{1,3})$/.exec(dow)
  if (range) {
    const from = dayIndex(range[1]!)
    const to = dayIndex(range[2]!)
    if (from == null || to == null) return null
    return from === 1 && to === 5 ? `on weekdays${months}` : `${DAYS[from]} to ${DAYS[to]}${months}`
  }
  const days = dow.split(',').map(dayIndex)
  if (days.some((d) => d == null)) return null
  return `on ${list(days.map((d) => `${DAYS[d!]}s`))}${months}`
}

/** What of a rule these words can say; another one is shown as it is, rather than half of it. */
const SAID = /^(?:FREQ|INTERVAL|BYDAY|BYMONTHDAY|BYMONTH|BYHOUR|BYMINUTE|BYSECOND|COUNT|UNTIL|WKST)$/
const NTH: Record<string, string> = { '1': 'first', '2': 'second', '3': 'third', '4': 'fourth', '-1': 'last' }

interface Start {
  /** In the words of a rule. */
  month: string
  date: string
  day: string
  hour: string
  minute: string
  second: string
}

/** When a rule begins, if it says so. */
function startOf(text: string): Start | null {
  const found = /DTSTART[^:\s]*:(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)?)?/.exec(text)
  if (!found) return null
  const [, year, month, date, hour = '0', minute = '0', second = '0'] = found
  const day = new Date(Date.UTC(Number(year), Number(month) - 1, Number(date))).getUTCDay()
  const plain = (n: string) => String(Number(n))
  return { month: plain(month!), date: plain(date!), day: DAY_CODES[day]!.slice(0, 2), hour, minute, second }
}

/** The times of day of a rule, or of the hour. */
function atWords(parts: Record<string, string>, start: Start | null): string {
  const isOfDay = /^(?:YEARLY|MONTHLY|WEEKLY|DAILY)$/.test(parts.FREQ ?? '')
  const isOfHour = isOfDay || parts.FREQ === 'HOURLY'
  const hours = parts.BYHOUR ?? (isOfDay ? start?.hour : undefined)
  const minutes = parts.BYMINUTE ?? (isOfHour ? start?.minute : undefined)
  const seconds = parts.BYSECOND ?? (isOfHour ? start?.second : undefined) ?? '0'
  const ends = seconds === '0' || seconds === '00' ? [''] : seconds.split(',').map((s) => `:${two(s)}`)
  const each = (minutes ?? '0').split(',').flatMap((m) => ends.map((s) => `${two(m)}${s}`))
  if (hours !== undefined) return ` at ${list(hours.split(',').flatMap((h) => each.map((m) => `${two(h)}:${m}`)))}`
  if (ends[0]) return ` at ${list(each.map((m) => `:${m}`))} past the hour`
  if (minutes === undefined || (!parts.BYMINUTE && Number(minutes) === 0)) return ''
  return ` at minute ${list(minutes.split(',').map((m) => String(Number(m))))}`
}

function rrule(text: string): string {
  const rule = /(?:^|\s|RRULE:)(FREQ=\S+)/.exec(text)?.[1] ?? text
  const parts = Object.fromEntries(rule.split(';').map((p) => p.split('=') as [string, string]))
  const unit = (
    {
      YEARLY: 'year',
      MONTHLY: 'month',
      WEEKLY: 'week',
      DAILY: 'day',
      HOURLY: 'hour',
      MINUTELY: 'minute',
      SECONDLY: 'second',
    } as Record<string, string>
  )[parts.FREQ ?? '']
  const isWithin = /^(?:MINUTELY|SECONDLY)$/.test(parts.FREQ ?? '') && /BYHOUR|BYMINUTE|BYSECOND/.test(rule)
  if (
    !unit ||
    isWithin ||
    !Object.keys(parts).every((part) => SAID.test(part)) ||
    /EXDATE|RDATE|EXRULE|FREQ=[^]*FREQ=/.test(text)
  )
    return `RRULE ${text}`
  const start = startOf(text)
  const n = Number(parts.INTERVAL ?? 1)
  const base = n === 1 ? `Every ${unit}` : `Every ${n} ${unit}s`
  const names: Record<string, string> = {
    MO: 'Monday',
    TU: 'Tuesday',
    WE: 'Wednesday',
    TH: 'Thursday',
    FR: 'Friday',
    SA: 'Saturday',
    SU: 'Sunday',
  }
  const isDaySaid = parts.BYDAY || parts.BYMONTHDAY
  // What the rule leaves open is as at its start.
  const byDay = parts.BYDAY ?? (start && !isDaySaid && parts.FREQ === 'WEEKLY' ? start.day : undefined)
  const isDated = start && !isDaySaid && (parts.FREQ === 'MONTHLY' || parts.FREQ === 'YEARLY')
  const byDate = parts.BYMONTHDAY ?? (isDated ? start.date : undefined)
  const byMonth = parts.BYMONTH ?? (isDated && parts.FREQ === 'YEARLY' ? start.month : undefined)
  const days = byDay?.split(',').map((d) => {
    const [, nth, code] = /^([+-]?\d+)?(\w\w)$/.exec(d) ?? []
    const name = names[code ?? ''] ?? d
    return nth ? `the ${NTH[nth.replace('+', '')] ?? `${nth}.`} ${name}` : name
  })
  const dates = byDate
    ?.split(',')
    .map((d) => (d === '-1' ? 'the last day' : d.startsWith('-') ? `day ${d} from the end` : `day ${d}`))
  const months = byMonth ? ` in ${list(byMonth.split(',').map((m) => MONTHS[Number(m) - 1] ?? m))}` : ''
  const at = atWords(parts, start)
  const isWeekdays = parts.BYDAY === 'MO,TU,WE,TH,FR' && n === 1 && parts.FREQ === 'WEEKLY'
  const on = [...(dates ?? []), ...(days && !isWeekdays ? days : [])]
  return `${isWeekdays ? 'On weekdays' : base}${on.length ? ` on ${list(on)}` : ''}${months}${at}${parts.COUNT ? `, ${parts.COUNT === '1' ? 'once' : `${parts.COUNT} times`}` : ''}${parts.UNTIL ? ', until a set date' : ''}`
}
