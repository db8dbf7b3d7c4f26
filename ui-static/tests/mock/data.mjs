// Made-up flows and runs around now, from a seed: what the dashboard is looked at with, without a server.

let seed = 7
export const random = () => {
  seed = (seed * 1664525 + 1013904223) % 4294967296
  return seed / 4294967296
}
const pick = (list) => list[Math.floor(random() * list.length)]
let serial = 0
export const uuid = () => {
  const n = (++serial).toString(16).padStart(12, '0')
  return `0197${((serial * 2654435761) % 65536).toString(16).padStart(4, '0')}-5a1e-4c3d-9b2f-${n}`
}
const iso = (ms) => new Date(ms).toISOString()
const H = 3600e3
const ANIMALS = [
  'meerkat',
  'pegasus',
  'doberman',
  'orangutan',
  'coot',
  'fossa',
  'skua',
  'yak',
  'groundhog',
  'heron',
  'lynx',
  'otter',
]
const WORDS = [
  'grateful',
  'cyber',
  'caped',
  'liberal',
  'ambitious',
  'important',
  'sturdy',
  'mellow',
  'brave',
  'quiet',
  'nimble',
  'amber',
]
const name = () => `${pick(WORDS)}-${pick(ANIMALS)}`
export const HOSTILE = '<img src=x onerror="window.__hacked=1"> \u202Egnp.exe\u202C \u0007 ' + 'x'.repeat(400)

export function make(now = Date.now(), { tasks = 500 } = {}) {
  const db = {
    flows: [],
    deployments: [],
    runs: [],
    taskRuns: [],
    logs: [],
    queues: [],
    limits: [],
    blocks: [],
    states: new Map(),
  }
  const flow = (n, tags = []) =>
    db.flows[db.flows.push({ id: uuid(), name: n, tags, created: iso(now - 96 * H), updated: iso(now) }) - 1]
  const deployment = (f, n, tags, schedule, extra = {}) =>
    db.deployments[
      db.deployments.push({
        id: uuid(),
        name: n,
        flow_id: f.id,
        tags,
        schedule,
        is_schedule_active: true,
        parameters: {},
        parameter_openapi_schema: null,
        flow_runner: { type: 'subprocess', config: { env: {}, virtualenv: null } },
        flow_data: { encoding: 'blockstorage', blob: '' },
        description: null,
        version: null,
        created: iso(now - 90 * H),
        updated: iso(now - 3 * H),
        ...extra,
      }) - 1
    ]

  db.state = (run, type, at, n, message = null) => {
    const s = {
      id: uuid(),
      type,
      name: n ?? type[0] + type.slice(1).toLowerCase(),
      timestamp: iso(at),
      message,
      data: null,
      state_details: {},
    }
    if (!db.states.has(run.id)) db.states.set(run.id, [])
    db.states.get(run.id).push(s)
    Object.assign(run, { state: s, state_type: s.type, state_name: s.name })
    return s
  }
  db.addRun = (f, d, at, kind, seconds = 30, extra = {}) => {
    const run = {
      id: uuid(),
      name: name(),
      flow_id: f.id,
      deployment_id: d?.id ?? null,
      parent_task_run_id: null,
      expected_start_time: iso(at),
      next_scheduled_start_time: null,
      start_time: null,
      end_time: null,
      total_run_time: 0,
      run_count: 0,
      parameters: d?.parameters ?? {},
      tags: d?.tags ?? [],
      auto_scheduled: !!d?.schedule,
      flow_version: '64b2423dff6e357c',
      idempotency_key: null,
      created: iso(at - 60e3),
      work_queue_name: null,
      ...extra,
    }
    db.runs.push(run)
    db.state(run, 'SCHEDULED', Math.min(at - 5e3, now), null, d ? 'Flow run scheduled' : null)
    if (kind === 'SCHEDULED') return run
    if (kind === 'LATE') {
      db.state(run, 'SCHEDULED', at + 15e3, 'Late')
      return run
    }
    db.state(run, 'PENDING', at + 400)
    if (kind === 'PENDING') return run
    run.start_time = iso(at + 1200)
    run.run_count = 1
    db.state(run, 'RUNNING', at + 1200)
    if (kind === 'RUNNING') return run
    const end = at + 1200 + seconds * 1000
    run.end_time = iso(end)
    run.total_run_time = seconds
    const messages = {
      FAILED:
        'Flow run encountered an exception: HTTPError: 503 Server Error: Service Unavailable for url: http://127.0.0.1:8123/api/v1/orders',
      CRASHED: 'The flow process was killed by SIGKILL (exit code -9); the machine may have run out of memory',
      COMPLETED: 'All states completed.',
    }
    db.state(run, kind, end, null, messages[kind] ?? null)
    return run
  }
  db.addTask = (run, key, i, start, end, type, inputs = {}, extra = {}) => {
    const t = {
      id: uuid(),
      name: `${key}-${i}`,
      task_key: key,
      dynamic_key: String(i),
      flow_run_id: run.id,
      expected_start_time: iso(start),
      start_time: type === 'PENDING' ? null : iso(start),
      end_time: end ? iso(end) : null,
      total_run_time: end ? (end - start) / 1000 : 0,
      run_count: 1,
      tags: [],
      task_inputs: inputs,
      cache_key: null,
      empirical_policy: { retries: 3, retry_delay: 10 },
      ...extra,
    }
    db.taskRuns.push(t)
    db.state(t, 'PENDING', start - 80)
    if (type !== 'PENDING') db.state(t, 'RUNNING', start)
    if (end)
      db.state(
        t,
        type,
        end,
        null,
        type === 'FAILED' ? 'Task run encountered an exception: ValueError: order 4711 has no customer' : null,
      )
    return t
  }
  const log = (run, at, level, message, task = null) =>
    db.logs.push({
      id: uuid(),
      timestamp: iso(at),
      level,
      name: task ? 'prefect.task_runs' : 'prefect.flow_runs',
      message,
      flow_run_id: run.id,
      task_run_id: task?.id ?? null,
    })

  const reliable = flow('Previously unreliable pipeline', ['etl'])
  const weather = flow('Daily weather report')
  const churn = flow('Churn model training', ['ml', 'gpu'])
  const orders = flow('Validate orders')
  const fan = flow('Wide fan-out')
  const evil = flow(HOSTILE, ['<b>tag</b>'])

  const schema = {
    type: 'object',
    required: ['city'],
    properties: {
      city: {
        type: 'string',
        title: 'city',
        description: 'Where the weather is looked up',
        default: 'Bremen',
        position: 0,
      },
      days: { type: 'integer', default: 3, position: 1 },
      unit: { enum: ['celsius', 'fahrenheit'], default: 'celsius', position: 2 },
      thresholds: { type: 'object', default: { warn: 30 }, position: 3 },
      dry_run: { type: 'boolean', default: false, position: 4 },
    },
  }
  const prod = deployment(reliable, 'prod-etl', ['ETL', 'prod'], null, {
    parameters: { url: 'http://127.0.0.1:8123/api', attempts: 3 },
  })
  const daily = deployment(
    weather,
    'hourly-bremen',
    ['weather'],
    { cron: '0 */2 * * *', timezone: 'Europe/Berlin', day_or: true },
    {
      parameters: { city: 'Bremen', days: 3, unit: 'celsius' },
      parameter_openapi_schema: schema,
      description: 'Fetches the forecast and writes it to the warehouse.',
      version: '1.4.8',
    },
  )
  const nightly = deployment(churn, 'nightly', ['ml', 'gpu'], {
    interval: 86400,
    anchor_date: iso(now - 48 * H),
    timezone: 'UTC',
  })
  deployment(
    orders,
    'weekdays',
    ['orders'],
    { rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0', timezone: 'UTC' },
    { is_schedule_active: false },
  )

  // The past day: mostly fine, with a bad half hour at night.
  for (let h = -23.5; h < 0; h += 0.8 + random())
    db.addRun(
      reliable,
      prod,
      now + h * H,
      h > -9 && h < -7.4 ? 'FAILED' : random() < 0.06 ? 'FAILED' : 'COMPLETED',
      3 + random() * 9,
    )
  for (let h = -24; h < 0; h += 2) db.addRun(weather, daily, now + h * H, 'COMPLETED', 18 + random() * 40)
  for (let h = 2; h <= 24; h += 2) db.addRun(weather, daily, now + h * H - 1800e3, 'SCHEDULED')
  for (let h = -20; h < 0; h += 5)
    db.addRun(orders, null, now + h * H, random() < 0.2 ? 'CANCELLED' : 'COMPLETED', 1 + random() * 2)
  db.addRun(churn, nightly, now - 9 * H, 'CRASHED', 1460)
  db.addRun(churn, nightly, now - 16 * H, 'COMPLETED', 1520)
  db.addRun(churn, nightly, now + 15 * H, 'SCHEDULED')
  for (const m of [26, 14, 11]) db.addRun(reliable, prod, now - m * 60e3, 'LATE')
  db.addRun(reliable, prod, now - 20e3, 'SCHEDULED')
  db.addRun(evil, null, now - 5 * H, 'COMPLETED', 2, {
    name: HOSTILE.slice(0, 120),
    tags: ['<script>alert(1)</script>'],
  })

  // A run with dependencies and a subflow.
  const r = db.addRun(reliable, prod, now - 3 * H, 'COMPLETED', 5.2, { name: 'cyber-pegasus' })
  db.pretty = r
  const t0 = Date.parse(r.start_time)
  const call = db.addTask(r, 'Call unreliable API', 0, t0 + 200, t0 + 900, 'COMPLETED', {}, { run_count: 3 })
  const up = (...t) => ({ data: t.map((x) => ({ input_type: 'task_run', id: x.id })) })
  const augment = db.addTask(r, 'Augment data', 0, t0 + 950, t0 + 1400, 'COMPLETED', up(call))
  const check = db.addTask(r, 'Check totals', 0, t0 + 1000, t0 + 2600, 'COMPLETED', up(call))
  const child = db.addRun(orders, null, t0 + 1100, 'COMPLETED', 2, { parent_task_run_id: 'x' })
  const stand = db.addTask(r, 'Validate orders', 3, t0 + 1100, t0 + 3300, 'COMPLETED', up(augment))
  child.parent_task_run_id = stand.id
  stand.child = child.id
  const fetch_ = db.addTask(child, 'Fetch orders', 0, t0 + 1300, t0 + 1700, 'COMPLETED')
  const checks = [0, 1, 2].map((i) =>
    db.addTask(child, 'Check order', i, t0 + 1750 + i * 120, t0 + 2600 + i * 200, 'COMPLETED', up(fetch_)),
  )
  const deep = db.addRun(weather, null, t0 + 1800, 'COMPLETED', 1, { parent_task_run_id: 'x' })
  const inner = db.addTask(child, 'Daily weather report', 0, t0 + 1800, t0 + 2900, 'COMPLETED', up(fetch_))
  deep.parent_task_run_id = inner.id
  inner.child = deep.id
  db.addTask(deep, 'Look up the weather', 0, t0 + 1900, t0 + 2700, 'COMPLETED')
  db.addTask(child, 'Report', 0, t0 + 3020, t0 + 3250, 'COMPLETED', up(...checks, inner))
  db.addTask(r, 'Write to warehouse', 0, t0 + 3400, t0 + 4900, 'COMPLETED', up(augment, check, stand)).leaves = [
    'rows-written',
  ]
  check.leaves = ['totals']
  log(r, t0, 20, "Using task runner 'ConcurrentTaskRunner'")
  for (let i = 0; i < 40; i++)
    log(
      r,
      t0 + 200 + i * 110,
      i === 6 || i === 9 ? 40 : i % 9 === 4 ? 30 : i % 7 === 3 ? 10 : 20,
      i === 6 || i === 9
        ? `Encountered exception during execution: HTTPError: 503 Server Error for url http://127.0.0.1:8123/api/v1/orders?page=${i}`
        : i % 9 === 4
          ? 'Response took 1.9 s, longer than expected'
          : i === 12
            ? HOSTILE
            : `Requesting page ${i} of /v1/orders`,
      i % 3 ? call : null,
    )
  log(r, t0 + 5200, 20, "Finished in state Completed('All states completed.')")

  // A wide one in which one task failed, and one that runs now.
  const w = db.addRun(fan, null, now - 40 * 60e3, 'FAILED', 163, { name: 'important-skua' })
  db.wide = w
  const w0 = Date.parse(w.start_time)
  const root = db.addTask(w, 'List chunks', 0, w0 + 100, w0 + 4000, 'COMPLETED')
  const parts = []
  for (let i = 0; i < tasks; i++) {
    const s = w0 + 4200 + (i / tasks) * 110e3 + random() * 3e3
    parts.push(
      db.addTask(w, 'Process chunk', i, s, s + 20e3 + random() * 24e3, i === 287 ? 'FAILED' : 'COMPLETED', up(root)),
    )
  }
  db.addTask(w, 'Join chunks', 0, w0 + 161e3, null, 'PENDING', {
    data: parts.slice(0, tasks).map((x) => ({ input_type: 'task_run', id: x.id })),
  })
  for (let i = 0; i < 100000; i++)
    log(
      w,
      w0 + i * 1.6,
      i % 97 === 0 ? 30 : i === 57400 ? 40 : 20,
      i === 57400 ? 'ValueError: order 4711 has no customer' : `Processed row ${i} of chunk ${i % tasks}`,
      parts[i % tasks],
    )
  const live = db.addRun(weather, daily, now - 34e3, 'RUNNING', 0, { name: 'sturdy-groundhog' })
  db.live = live
  const l0 = Date.parse(live.start_time)
  const f = db.addTask(live, 'Fetch forecast', 0, l0 + 300, l0 + 9000, 'COMPLETED')
  db.addTask(live, 'Render maps', 0, l0 + 9100, null, 'RUNNING', up(f))
  log(live, l0 + 310, 20, 'Fetching the forecast of Bremen for 3 days')

  // One that waits for a person, and says what it wants to know.
  const paused = db.addRun(orders, null, now - 4 * 60e3, 'RUNNING', 0, { name: 'patient-yak' })
  db.paused = paused
  db.state(paused, 'PAUSED', now - 3 * 60e3, null, 'Waits for an approval').state_details = {
    pause_key: 'approve',
    run_input_keyset: { schema: 'approve-schema', description: 'approve-description', response: 'approve-response' },
  }
  db.inputs = {
    'approve-schema': {
      type: 'object',
      required: ['approved'],
      properties: {
        approved: { type: 'boolean', title: 'Approved' },
        reason: { type: 'string', title: 'Reason', minLength: 3 },
      },
    },
    'approve-description': 'Is the **total** right?',
  }

  db.queues.push({
    id: uuid(),
    name: 'etl-queue',
    description: '',
    is_paused: false,
    concurrency_limit: null,
    filter: { tags: ['ETL'], deployment_ids: null, flow_runner_types: null },
    last_polled: null,
    agents: [],
  })
  db.queues.push({
    id: uuid(),
    name: 'weather',
    description: '',
    is_paused: false,
    concurrency_limit: 4,
    filter: { tags: ['weather'], deployment_ids: null, flow_runner_types: null },
    last_polled: iso(now),
    agents: [
      { name: 'agent-ember', last_polled: iso(now), is_polling: true },
      { name: 'agent-ash', last_polled: iso(now - 2 * H), is_polling: false },
    ],
    fresh: true,
  })
  db.queues.push({
    id: uuid(),
    name: 'gpu',
    description: '',
    is_paused: true,
    concurrency_limit: 1,
    filter: { tags: ['gpu'], deployment_ids: null, flow_runner_types: null },
    last_polled: iso(now - 3 * H),
    agents: [],
  })
  const limit = (name, size, more) =>
    db.limits.push({
      id: uuid(),
      name,
      tag: name.startsWith('tag:') ? name.slice(4) : null,
      limit: size,
      active: true,
      active_slots: 0,
      denied_slots: 0,
      slot_decay_per_second: 0,
      updated: iso(now - 9 * H),
      holders: [],
      waiting: [],
      ...more,
    })
  limit('tag:warehouse', 5, {})
  const holder = (type, one, run, since, more) => ({
    lease_id: uuid(),
    slots: 1,
    type,
    id: one.id,
    name: one.name,
    flow_run_id: run?.id ?? null,
    flow_run_name: run?.name ?? null,
    since: iso(since),
    expires: null,
    ...more,
  })
  limit('tag:forecast-api', 1, {
    active_slots: 1,
    holders: [holder('task_run', db.taskRuns.at(-1), live, l0 + 9100)],
    waiting: [
      {
        type: 'task_run',
        id: db.taskRuns[0].id,
        name: 'Fetch forecast-3',
        flow_run_id: r.id,
        flow_run_name: r.name,
        since: iso(now - 61e3),
      },
    ],
  })
  limit('warehouse', 5, {
    active_slots: 4,
    holders: [
      holder('flow_run', live, null, now - 30e3, { slots: 2, expires: iso(now + 270e3) }),
      holder(null, { id: null, name: null }, null, now - 8e3),
    ],
  })
  limit('mail-gateway', 10, { active_slots: 10, denied_slots: 3, slot_decay_per_second: 0.5 })
  limit('old-mainframe', 1, { active: false })
  limit(`deployment:${db.deployments[1].id}`, 2)
  db.blocks.push({
    id: uuid(),
    name: 'team-bucket',
    type_name: 'S3 Storage',
    kind: 'STORAGE',
    is_default: true,
    created: iso(now - 80 * H),
    updated: iso(now - 20 * H),
    data: {
      bucket: 'flows',
      aws_access_key_id: 'AKIA…',
      aws_secret_access_key: '********',
      region_name: 'eu-central-1',
    },
    schema: null,
    is_readable: true,
  })
  db.blocks.push({
    id: uuid(),
    name: 'laptop',
    type_name: 'Local Storage',
    kind: 'STORAGE',
    is_default: false,
    created: iso(now - 80 * H),
    updated: iso(now - 70 * H),
    data: { storage_path: '/data/prefect' },
    schema: null,
    is_readable: true,
  })
  return db
}

export const empty = () => ({
  flows: [],
  deployments: [],
  runs: [],
  taskRuns: [],
  logs: [],
  queues: [],
  limits: [],
  blocks: [],
  states: new Map(),
})
