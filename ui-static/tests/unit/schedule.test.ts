import { describe, expect, test } from 'vitest'
import { cron, describe as inWords } from '../../src/lib/schedule'

describe('schedules in words', () => {
  test.each([
    ['0 9 * * 1-5', 'On weekdays at 09:00'],
    ['*/15 * * * *', 'Every 15 minutes'],
    ['0 */2 * * *', 'Every 2 hours at :00'],
    ['30 6 * * *', 'Every day at 06:30'],
    ['0 0 1 * *', 'On day 1 of each month at 00:00'],
    ['0 12 * * MON,FRI', 'On Mondays and Fridays at 12:00'],
    ['@hourly', 'Every hour'],
    ['1-9/2 * * * *', 'Cron 1-9/2 * * * *'],
  ])('%s', (pattern, words) => expect(cron(pattern)).toBe(words))

  test('an interval is told in its largest unit', () => {
    expect(inWords({ interval: 3600 })).toBe('Every hour')
    expect(inWords({ interval: 90 })).toBe('Every 90 seconds')
    expect(inWords({ interval: 5400.5 })).toBe('Every 5400.5 seconds')
    expect(inWords(null)).toBe('No schedule')
  })

  test('a rule is told whole, or shown as it is', () => {
    const words = (rrule: string) => inWords({ rrule }, 'UTC')
    expect(words('FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=6;BYMINUTE=0')).toBe('Every month on day 1 at 06:00')
    expect(words('FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18')).toBe('Every month on the last Friday at 18:00')
    expect(words('FREQ=YEARLY;BYMONTH=1,7;BYMONTHDAY=-1')).toBe('Every year on the last day in January and July')
    expect(words('FREQ=HOURLY;BYMINUTE=30')).toBe('Every hour at minute 30')
    expect(words('FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1')).toBe('RRULE FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1')
  })

  test('what a rule leaves open is as at its start', () => {
    const words = (rule: string, start = '20240101T091700') =>
      inWords({ rrule: `DTSTART:${start}\nRRULE:${rule}` }, 'UTC')
    expect(words('FREQ=WEEKLY;BYDAY=MO;BYHOUR=9')).toBe('Every week on Monday at 09:17')
    expect(words('FREQ=WEEKLY')).toBe('Every week on Monday at 09:17')
    expect(words('FREQ=DAILY;COUNT=1')).toBe('Every day at 09:17, once')
    expect(words('FREQ=DAILY;COUNT=2', '20240101T091705Z')).toBe('Every day at 09:17:05, 2 times')
    expect(words('FREQ=MONTHLY')).toBe('Every month on day 1 at 09:17')
    expect(words('FREQ=YEARLY')).toBe('Every year on day 1 in January at 09:17')
    expect(words('FREQ=HOURLY')).toBe('Every hour at minute 17')
    expect(words('FREQ=DAILY;BYHOUR=9;BYMINUTE=0,30')).toBe('Every day at 09:00 and 09:30')
    expect(words('FREQ=MINUTELY;BYHOUR=9')).toMatch(/^RRULE /)
  })

  test('hours of a clock elsewhere say where', () => {
    const weekly = { rrule: 'FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9', timezone: 'Europe/Berlin' }
    expect(inWords(weekly, 'UTC')).toBe('Every week on Monday and Wednesday at 09:00 (Europe/Berlin)')
    expect(inWords(weekly, 'Europe/Berlin')).toBe('Every week on Monday and Wednesday at 09:00')
    const weekdays = { rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0', timezone: 'UTC' }
    expect(inWords(weekdays, 'Etc/UTC')).toBe('On weekdays at 09:00')
    expect(inWords(weekdays, 'Europe/Berlin')).toBe('On weekdays at 09:00 (UTC)')
    // Without a zone it goes by UTC.
    expect(inWords({ cron: '0 9 * * *' }, 'Europe/Berlin')).toBe('Every day at 09:00 (UTC)')
    // How far apart runs are is the same everywhere.
    expect(inWords({ cron: '*/15 * * * *' }, 'Europe/Berlin')).toBe('Every 15 minutes')
    expect(inWords({ rrule: 'FREQ=HOURLY' }, 'Europe/Berlin')).toBe('Every hour')
  })
})
