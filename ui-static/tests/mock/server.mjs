// A stand-in for the server: serves the built dashboard with its headers, and the API over made-up data.
//
// It is for looking and for stories that need a certain sight; what the real server answers is tested against it.

import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { empty, make } from './data.mjs'

const DIST = fileURLToPath(new URL('../../dist', import.meta.url))
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
}
/** What the real server lets a page do. */
export const CSP = /const POLICY: &str = "([^"]+)"/
  .exec(await readFile(new URL('../../../src/server/ui.rs', import.meta.url), 'utf8'))[1]
  .replace(/\\\n\s*/g, '')
const iso = (ms) => new Date(ms).toISOString()

export function start({ port = 0, tasks = 500, bare = false, base = '' } = {}) {
  let db = bare ? empty() : make(Date.now(), { tasks })
  const streams = new Set()
  const epoch = randomUUID().replaceAll('-', '')
  const stats = { requests: [], proposed: [], fail: false, slow: 0, opened: 0, refuse: false, refused: 0 }
  let happened = 1
  const mark = () => `${epoch}-${happened}`
  const told = []
  const emit = (changes) => {
    happened += changes.length
    const event = `event: changes\nid: ${mark()}\ndata: ${JSON.stringify(changes)}\n\n`
    told.push([happened, event])
    streams.forEach((s) => s.write(event))
  }

  const flowOf = (id) => db.flows.find((f) => f.id === id)
  const deploymentOf = (id) => db.deployments.find((d) => d.id === id)
  const runOf = (id) => db.runs.find((r) => r.id === id)
  const row = (r) => ({
    ...r,
    state_message: r.state.message,
    flow_name: flowOf(r.flow_id)?.name,
    deployment_name: deploymentOf(r.deployment_id)?.name ?? null,
  })
  const taskRow = (t) => ({
    ...t,
    state_message: t.state.message,
    flow_run_name: runOf(t.flow_run_id)?.name,
    flow_name: flowOf(runOf(t.flow_run_id)?.flow_id)?.name,
  })
  const inState = (s, f) =>
    !f ||
    (f.operator === 'or_'
      ? f.type?.any_.includes(s.state_type) || f.name?.any_.includes(s.state_name)
      : (!f.type || f.type.any_.includes(s.state_type)) && (!f.name || f.name.any_.includes(s.state_name)))
  const has = (text, part) => text.toLowerCase().includes(part.toLowerCase())
  const own = (r, f) => {
    if (!f) return true
    const e = f.expected_start_time
    if (e?.after_ && r.expected_start_time < e.after_) return false
    if (e?.before_ && r.expected_start_time > e.before_) return false
    if (f.id && !f.id.any_.includes(r.id)) return false
    if (f.tags?.all_ && !f.tags.all_.every((t) => r.tags.includes(t))) return false
    if (f.name?.like_ && !has(r.name, f.name.like_)) return false
    if (f.name?.any_ && !f.name.any_.includes(r.name)) return false
    if (f.parent_task_run_id?.is_null_ && r.parent_task_run_id) return false
    if (
      f.parent_flow_run_id &&
      !f.parent_flow_run_id.any_.includes(db.taskRuns.find((t) => t.id === r.parent_task_run_id)?.flow_run_id)
    )
      return false
    return inState(r, f.state)
  }
  const select = (b) =>
    db.runs.filter(
      (r) =>
        own(r, b.flow_runs) &&
        (!b.flows || own({ ...flowOf(r.flow_id) }, b.flows)) &&
        (!b.deployments?.name || (r.deployment_id && own(deploymentOf(r.deployment_id), b.deployments))),
    )
  const counts = (runs) => {
    const m = new Map()
    for (const r of runs) {
      const k = r.state_type + r.state_name
      if (!m.has(k)) m.set(k, { state_type: r.state_type, state_name: r.state_name, count: 0 })
      m.get(k).count++
    }
    return [...m.values()]
  }
  const page = (list, b) => list.slice(b.offset ?? 0, (b.offset ?? 0) + (b.limit ?? 200))
  const newest = (runs) => [...runs].sort((a, b) => (a.expected_start_time < b.expected_start_time ? 1 : -1))
  const late = (r) =>
    Math.max(0, (Date.parse(r.start_time ?? iso(Date.now())) - Date.parse(r.expected_start_time)) / 1000)

  const flowRow = (f, runs, b) => {
    const mine = runs.filter((r) => r.flow_id === f.id)
    const start = Date.parse(b.start)
    const buckets = new Map()
    for (const r of mine) {
      const i = Math.floor((Date.parse(r.expected_start_time) - start) / 1000 / b.interval_seconds)
      const k = `${i}|${r.state_name}`
      if (!buckets.has(k)) buckets.set(k, [i, r.state_type, r.state_name, 0])
      buckets.get(k)[3]++
    }
    const ids = new Set(mine.map((r) => r.id))
    const last = newest(mine).find((r) => r.start_time)
    return {
      ...f,
      deployments: db.deployments.filter((d) => d.flow_id === f.id).length,
      flow_runs: mine.length,
      task_runs: db.taskRuns.filter((t) => ids.has(t.flow_run_id)).length,
      buckets: [...buckets.values()].sort((x, y) => x[0] - y[0]),
      last_run: last
        ? {
            id: last.id,
            name: last.name,
            state_type: last.state_type,
            state_name: last.state_name,
            at: last.start_time,
          }
        : null,
    }
  }
  const deploymentRow = (d) => {
    const runs = db.runs.filter((r) => r.deployment_id === d.id)
    return {
      ...d,
      schedule_count: d.schedule ? 1 : 0,
      work_pool_name: null,
      flow_name: flowOf(d.flow_id).name,
      next_run:
        runs
          .filter((r) => r.state_type === 'SCHEDULED' && Date.parse(r.expected_start_time) > Date.now())
          .map((r) => r.expected_start_time)
          .sort()[0] ?? null,
      late: runs.filter((r) => r.state_name === 'Late').length,
      recent: newest(runs.filter((r) => r.start_time))
        .slice(0, 12)
        .reverse(),
    }
  }
  const queueRow = (q) => {
    if (q.fresh) q.last_polled = iso(Date.now())
    const runs = db.runs.filter((r) => r.deployment_id && q.filter.tags.every((t) => r.tags.includes(t)))
    const sched = runs.filter((r) => r.state_type === 'SCHEDULED')
    const due = sched.filter((r) => Date.parse(r.expected_start_time) <= Date.now())
    return {
      ...q,
      is_polled: !!q.fresh,
      due: due.length,
      upcoming: sched.length - due.length,
      active: runs.filter((r) => ['RUNNING', 'PENDING'].includes(r.state_type)).length,
      late: due.filter((r) => r.state_name === 'Late').length,
      sched,
      runningRuns: runs.filter((r) => r.state_type === 'RUNNING'),
    }
  }
  const reasons = (r) => {
    if (r.state_type === 'PAUSED')
      return [{ code: 'paused', summary: 'It is paused until somebody resumes it.', detail: null }]
    if (Date.parse(r.expected_start_time) > Date.now())
      return [{ code: 'scheduled', summary: 'It is scheduled for later.', detail: null }]
    const q = db.queues.find((x) => x.filter.tags.every((t) => r.tags.includes(t)))
    if (!q)
      return [
        {
          code: 'no_queue',
          summary: 'No work queue matches its tags.',
          detail: `The run has ${r.tags.join(', ') || 'no tags'}.`,
          command: 'prefect-rs work-queue create -t ETL etl-queue',
        },
      ]
    if (q.is_paused)
      return [
        {
          code: 'paused',
          summary: `The work queue ${q.name} is paused.`,
          command: `prefect-rs work-queue resume ${q.name}`,
          link: `/work-queue/${q.id}`,
        },
      ]
    return [
      {
        code: 'no_agent',
        summary: `No agent polls the work queue ${q.name}.`,
        command: `prefect-rs agent start ${q.name}`,
        link: `/work-queue/${q.id}`,
      },
    ]
  }

  const routes = [
    [
      'POST /ui/overview',
      (b) => {
        const runs = select(b)
        const shown = runs.filter((r) => inState(r, b.state))
        const start = Date.parse(b.start)
        const history = []
        for (let at = start; at < Date.parse(b.end) - 1; at += b.interval_seconds * 1000) {
          const part = runs.filter(
            (r) =>
              Date.parse(r.expected_start_time) >= at &&
              Date.parse(r.expected_start_time) < at + b.interval_seconds * 1000,
          )
          history.push({
            interval_start: iso(at),
            interval_end: iso(at + b.interval_seconds * 1000),
            states: counts(part).map((s) => {
              const of = part.filter((r) => r.state_name === s.state_name && r.state_type === s.state_type)
              return {
                state_type: s.state_type,
                state_name: s.state_name,
                count_runs: s.count,
                sum_estimated_run_time: of.reduce((n, r) => n + r.total_run_time, 0),
                sum_estimated_lateness: of.reduce(
                  (n, r) => n + (Date.parse(r.expected_start_time) < Date.now() ? late(r) : 0),
                  0,
                ),
              }
            }),
          })
        }
        const ids = new Set(shown.map((r) => r.id))
        const flows = db.flows
          .filter(
            (f) =>
              !(b.state || b.flow_runs?.name || b.flow_runs?.tags || b.flows || b.deployments) ||
              shown.some((r) => r.flow_id === f.id),
          )
          .sort((a, z) => a.name.localeCompare(z.name))
        const groups = new Map()
        for (const r of runs.filter((x) => x.state_name === 'Late')) {
          const why = reasons(r)[0]
          if (!groups.has(why.summary)) groups.set(why.summary, { ...why, count: 0, since: r.expected_start_time })
          const g = groups.get(why.summary)
          g.count++
          if (r.expected_start_time < g.since) g.since = r.expected_start_time
        }
        const attention = [...groups.values()].map((g) => ({
          ...g,
          summary: `${g.count} run${g.count === 1 ? ' is' : 's are'} late: ${g.summary[0].toLowerCase()}${g.summary.slice(1, -1)}`,
        }))
        return {
          now: iso(Date.now()),
          first_run: !db.flows.length,
          history,
          states: counts(runs),
          counts: {
            flows: flows.length,
            deployments: db.deployments.length,
            flow_runs: shown.length,
            task_runs: db.taskRuns.filter((t) => ids.has(t.flow_run_id)).length,
          },
          attention,
          flows: page(flows, b).map((f) => flowRow(f, shown, b)),
        }
      },
    ],
    [
      'POST /ui/flow_runs',
      (b) => {
        const runs = select(b)
        const sorted =
          b.sort === 'EXPECTED_START_TIME_ASC'
            ? newest(runs).reverse()
            : b.sort === 'NAME_ASC'
              ? [...runs].sort((x, y) => x.name.localeCompare(y.name))
              : newest(runs)
        return {
          count: runs.length,
          started: runs.filter((r) => r.start_time).length,
          results: page(sorted, b).map(row),
          points: b.points
            ? newest(runs)
                .filter((r) => r.start_time)
                .slice(0, b.points)
                .map((r) => ({
                  id: r.id,
                  name: r.name,
                  at: r.start_time,
                  seconds: r.total_run_time || (Date.now() - Date.parse(r.start_time)) / 1000,
                  state_type: r.state_type,
                  state_name: r.state_name,
                }))
            : [],
        }
      },
    ],
    [
      'POST /ui/task_runs',
      (b) => {
        const ids = b.flow_runs || b.flows || b.deployments ? new Set(select(b).map((r) => r.id)) : null
        let tasks = db.taskRuns.filter((t) => (!ids || ids.has(t.flow_run_id)) && own(t, b.task_runs))
        tasks = b.sort === 'EXPECTED_START_TIME_ASC' ? tasks : newest(tasks)
        if (b.failures_first)
          tasks = [...tasks].sort((x, y) => (y.state_type === 'FAILED') - (x.state_type === 'FAILED'))
        return { count: tasks.length, results: page(tasks, b).map(taskRow) }
      },
    ],
    [
      'POST /ui/deployments',
      (b) => {
        const list = db.deployments.filter(
          (d) =>
            own(d, { ...b.deployments, expected_start_time: null }) && (!b.flows || own(flowOf(d.flow_id), b.flows)),
        )
        return { count: list.length, results: page(list, b).map(deploymentRow) }
      },
    ],
    [
      'GET /ui/flows/:id',
      (_, id) => {
        const f = flowOf(id)
        if (!f) return null
        const runs = db.runs.filter((r) => r.flow_id === id)
        return {
          flow: f,
          states: counts(runs),
          counted_most: null,
          deployments: db.deployments
            .filter((d) => d.flow_id === id)
            .slice(0, 50)
            .map(deploymentRow),
          deployment_count: db.deployments.filter((d) => d.flow_id === id).length,
          recent: newest(runs.filter((r) => r.start_time || r.state_name === 'Late'))
            .slice(0, 6)
            .map(row),
        }
      },
    ],
    [
      'GET /ui/deployments/:id',
      (_, id) => {
        const d = deploymentOf(id)
        if (!d) return null
        const runs = db.runs.filter((r) => r.deployment_id === id)
        return {
          deployment: {
            ...d,
            schedules: d.schedule
              ? [
                  {
                    id: d.id,
                    schedule: d.schedule,
                    active: true,
                    max_scheduled_runs: null,
                    parameters: {},
                    slug: null,
                    updated: d.updated,
                    next: iso(Date.now() + 3600e3),
                  },
                ]
              : [],
            place: null,
            path: null,
            entrypoint: null,
            pull_steps: null,
            enforce_parameter_schema: false,
            job_variables: {},
            concurrency_limit: null,
            last_polled: null,
            is_polled: false,
          },
          flow: flowOf(d.flow_id),
          upcoming: newest(runs.filter((r) => r.state_type === 'SCHEDULED'))
            .reverse()
            .slice(0, 20)
            .map(row),
          upcoming_count: runs.filter((r) => r.state_type === 'SCHEDULED').length,
          recent: newest(runs.filter((r) => r.state_type !== 'SCHEDULED'))
            .slice(0, 20)
            .map(row),
          states: counts(runs),
          queues: db.queues.filter((q) => q.filter.tags.every((t) => d.tags.includes(t))).map((q) => queueRow(q)),
        }
      },
    ],
    ['POST /ui/schedule', () => ({ dates: [1, 2, 3, 4, 5].map((h) => iso(Date.now() + h * 3600e3)) })],
    [
      'GET /ui/flow_runs/:id',
      (_, id) => {
        const r = runOf(id)
        if (!r) return null
        const tasks = db.taskRuns.filter((t) => t.flow_run_id === id)
        const ids = new Set(tasks.map((t) => t.id))
        const subs = db.runs.filter((x) => ids.has(x.parent_task_run_id))
        const pt = db.taskRuns.find((t) => t.id === r.parent_task_run_id)
        const pr = pt && runOf(pt.flow_run_id)
        return {
          now: iso(Date.now()),
          run: { job_variables: {}, infrastructure_pid: null, deployment_version: null, created_by: null, ...r },
          flow: flowOf(r.flow_id),
          deployment: deploymentOf(r.deployment_id) ?? null,
          place: null,
          parent: pr ? { flow_run_id: pr.id, flow_run_name: pr.name, flow_name: flowOf(pr.flow_id).name } : null,
          states: db.states.get(id),
          task_states: counts(tasks),
          task_failures: tasks
            .filter((t) => t.state_type === 'FAILED')
            .map((t) => ({ id: t.id, name: t.name, state_name: t.state_name, message: t.state.message })),
          counts: {
            task_runs: tasks.length,
            subflow_runs: subs.length,
            logs: db.logs.filter((l) => l.flow_run_id === id).length,
          },
        }
      },
    ],
    [
      'GET /ui/flow_runs/:id/graph',
      (_, id) => {
        const tasks = db.taskRuns.filter((t) => t.flow_run_id === id)
        const at = new Map(tasks.map((t, i) => [t.id, i]))
        const ms = (x) => (x ? Date.parse(x) : null)
        return {
          id: tasks.map((t) => t.id),
          name: tasks.map((t) => t.name),
          task_key: tasks.map((t) => t.task_key),
          state_type: tasks.map((t) => t.state_type),
          state_name: tasks.map((t) => t.state_name),
          start: tasks.map((t) => ms(t.start_time)),
          end: tasks.map((t) => ms(t.end_time)),
          upstream: tasks.map((t) =>
            Object.values(t.task_inputs)
              .flat()
              .filter((x) => x.input_type === 'task_run')
              .map((x) => at.get(x.id)),
          ),
          child: tasks.map((t) => t.child ?? null),
          artifacts: tasks.flatMap((t, node) =>
            (t.leaves ?? []).map((key) => ({ id: t.id, key, type: 'table', node, at: ms(t.end_time) })),
          ),
        }
      },
    ],
    [
      'GET /ui/flow_runs/:id/results',
      (_, id) =>
        id === db.pretty.id
          ? [
              {
                task_run_id: null,
                name: db.pretty.name,
                state_name: 'Completed',
                timestamp: db.pretty.end_time,
                data: '{"storage_key":"/data/prefect/results/5f1c0a","serializer":{"type":"pickle"},"expiration":null}',
                size: 90,
              },
            ]
          : [],
    ],
    [
      'GET /ui/task_runs/:id/page',
      (_, id) => {
        const t = db.taskRuns.find((x) => x.id === id)
        const r = t && runOf(t.flow_run_id)
        return t
          ? {
              task_run: t,
              flow_run: r ? { id: r.id, name: r.name, flow_name: flowOf(r.flow_id).name } : null,
              states: db.states.get(id),
              counts: { logs: db.logs.filter((l) => l.task_run_id === id).length },
              reasons: [],
            }
          : null
      },
    ],
    [
      'POST /ui/logs',
      (b) => {
        const names = new Map()
        const found = db.logs.filter(
          (l) =>
            (!b.flow_run_id || l.flow_run_id === b.flow_run_id) &&
            (!b.task_run_id || l.task_run_id === b.task_run_id) &&
            l.level >= (b.level ?? 0) &&
            (!b.search || has(l.message, b.search)),
        )
        const nameOf = (id) =>
          names.get(id) ?? names.set(id, db.taskRuns.find((t) => t.id === id)?.name ?? null).get(id)
        return {
          count: found.length,
          results: page(found, b).map((l) => ({ ...l, task_run_name: l.task_run_id ? nameOf(l.task_run_id) : null })),
        }
      },
    ],
    ['GET /ui/work_queues', () => db.queues.map((q) => queueRow(q))],
    [
      'GET /ui/work_queues/:id',
      (_, id) => {
        const q = db.queues.find((x) => x.id === id)
        if (!q) return null
        const r = queueRow(q)
        return { ...r, runs: newest(r.sched).reverse().slice(0, 50).map(row), running: r.runningRuns.map(row) }
      },
    ],
    ['GET /ui/concurrency_limits', () => db.limits],
    ['GET /ui/work_pools', () => []],
    ['GET /flow_runs/:id/input/approve-schema', () => db.inputs['approve-schema']],
    ['GET /flow_runs/:id/input/approve-description', () => db.inputs['approve-description']],
    [
      'POST /flow_runs/:id/resume',
      (b, id) => {
        const r = runOf(id)
        r.given = b.run_input
        const state = db.state(r, 'RUNNING', Date.now())
        emit([{ kind: 'flow_run', id, state_type: 'RUNNING', state_name: 'Running' }])
        return { status: 'ACCEPT', state, details: {} }
      },
    ],
    ['POST /saved_searches/filter', () => db.searches ?? []],
    [
      'PUT /saved_searches/',
      (b) => {
        db.searches = [...(db.searches ?? []).filter((s) => s.name !== b.name), { id: String(Math.random()), ...b }]
        return {}
      },
    ],
    ['POST /artifacts/filter', () => []],
    ['POST /artifacts/count', () => 0],
    ['POST /artifacts/latest/filter', () => []],
    ['POST /artifacts/latest/count', () => 0],
    ['POST /variables/filter', () => []],
    ['POST /variables/count', () => 0],
    ['POST /flows/filter', () => db.flows],
    ['POST /flows/count', () => db.flows.length],
    ['POST /automations/filter', () => []],
    ['POST /automations/count', () => 0],
    ['POST /flow_run_notification_policies/filter', () => []],
    ['POST /events/filter', () => ({ events: [], total: 0, next_page: null })],
    ['GET /ui/blocks', () => db.blocks.map((b) => ({ document: null, ...b }))],
    [
      'POST /ui/blocks',
      (b) => {
        const found = db.blocks.filter((x) => has(x.name, b.name ?? '') || has(x.type_name, b.name ?? ''))
        return { count: found.length, results: page(found, b).map((x) => ({ document: null, ...x })) }
      },
    ],
    [
      'POST /ui/names',
      (b) =>
        b.ids.flatMap((id) => {
          const [, kind, key] = id.split('.')
          const found = {
            deployment: deploymentOf,
            'flow-run': runOf,
            'task-run': (x) => db.taskRuns.find((t) => t.id === x),
          }[kind]?.(key)
          return found ? [{ id, name: found.name, of: null }] : []
        }),
    ],
    [
      'GET /ui/info',
      () => ({
        version: '0.1.0',
        api_version: '0.8.4',
        database: 'SQLite 3.50',
        settings: [
          { name: 'PREFECT_API_DATABASE_CONNECTION_URL', value: null, secret: true },
          { name: 'PREFECT_ORION_SERVICES_LATE_RUNS_LOOP_SECONDS', value: 5 },
          { name: 'PREFECT_LOGGING_LEVEL', value: 'INFO' },
        ],
        pages: [],
      }),
    ],
    ['GET /flow_runs/:id', (_, id) => runOf(id) ?? null],
    [
      'GET /flow_runs/:id/explain',
      (_, id) => {
        const r = runOf(id)
        return r
          ? { flow_run_id: id, state_name: r.state_name, waiting: r.state_type === 'SCHEDULED', reasons: reasons(r) }
          : null
      },
    ],
    [
      'POST /deployments/:id/create_flow_run',
      (b, id) => {
        const d = deploymentOf(id)
        if (!d) return null
        const at = b.state?.state_details?.scheduled_time
          ? Date.parse(b.state.state_details.scheduled_time)
          : Date.now()
        const run = db.addRun(flowOf(d.flow_id), d, at, 'SCHEDULED', 0, {
          auto_scheduled: false,
          parameters: { ...d.parameters, ...b.parameters },
          ...(b.name ? { name: b.name } : {}),
        })
        setTimeout(
          () =>
            emit([
              { kind: 'flow_run', id: run.id, flow_id: run.flow_id, state_type: 'SCHEDULED', state_name: 'Scheduled' },
            ]),
          20,
        )
        return run
      },
    ],
    [
      'POST /deployments/:id/set_schedule_inactive',
      (_, id) => {
        deploymentOf(id).is_schedule_active = false
        return 204
      },
    ],
    [
      'POST /deployments/:id/set_schedule_active',
      (_, id) => {
        deploymentOf(id).is_schedule_active = true
        return 204
      },
    ],
    [
      'POST /flow_runs/:id/set_state',
      (b, id) => {
        stats.proposed.push(b)
        const r = runOf(id)
        const s = db.state(r, b.state.type, Date.now(), b.state.name, b.state.message)
        emit([{ kind: 'flow_run', id, flow_id: r.flow_id, state_type: s.type, state_name: s.name }])
        return { status: 'ACCEPT', state: s, details: { type: 'accept_details' } }
      },
    ],
    [
      'DELETE /flow_runs/:id',
      (_, id) => {
        db.runs = db.runs.filter((r) => r.id !== id)
        return 204
      },
    ],
    [
      'PATCH /work_queues/:id',
      (b, id) => {
        Object.assign(
          db.queues.find((q) => q.id === id),
          b,
        )
        return 204
      },
    ],
    [
      'PATCH /v2/concurrency_limits/:id',
      (b, id) => {
        Object.assign(
          db.limits.find((l) => l.id === id),
          b,
        )
        return 204
      },
    ],
    [
      'POST /concurrency_limits/',
      (b) => {
        const there = db.limits.find((l) => l.tag === b.tag)
        if (there) {
          there.limit = b.concurrency_limit
          return {}
        }
        db.limits.push({
          id: String(Math.random()),
          name: `tag:${b.tag}`,
          tag: b.tag,
          limit: b.concurrency_limit,
          active: true,
          active_slots: 0,
          denied_slots: 0,
          slot_decay_per_second: 0,
          updated: iso(Date.now()),
          holders: [],
          waiting: [],
        })
        return {}
      },
    ],
  ].map(([key, handle]) => {
    const [method, path] = key.split(' ')
    return { method, pattern: new RegExp(`^${path.replace(':id', '([^/]+)')}$`), handle }
  })

  const server = createServer(async (req, res) => {
    const path = new URL(req.url, 'http://x').pathname.replace(base, '')
    const send = (status, body, type = 'application/json') =>
      res
        .writeHead(status, {
          'content-type': type,
          ...(path.startsWith('/api/ui/') ? { 'x-last-change': mark() } : {}),
        })
        .end(body)
    if (path.startsWith('/api')) {
      const api = path.slice(4)
      if (stats.login && req.headers.authorization !== stats.login)
        return send(401, '{"exception_message":"Unauthorized"}')
      if (api === '/ui/stream') {
        if (stats.refuse) return (stats.refused++, send(503, '{}'))
        res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
        stats.opened++
        // A page says up to where it knows what happened, since its stream begins later than it does.
        const known = Number(/-(\d+)$/.exec(req.headers['last-event-id'] ?? '')?.[1] ?? happened)
        for (const [number, event] of told) if (number > known) res.write(event)
        res.write(`event: beat\nid: ${mark()}\ndata: {}\n\n`)
        streams.add(res)
        req.on('close', () => streams.delete(res))
        return
      }
      stats.requests.push(`${req.method} ${api}`)
      if (stats.fail) return send(500, '{"exception_message":"Internal Server Error"}')
      let text = ''
      for await (const part of req) text += part
      if (stats.slow) await new Promise((done) => setTimeout(done, stats.slow))
      for (const { method, pattern, handle } of routes) {
        const m = method === req.method && pattern.exec(api)
        if (!m) continue
        const out = handle(text ? JSON.parse(text) : {}, decodeURIComponent(m[1] ?? ''))
        if (out === 204) return res.writeHead(204).end()
        return out == null
          ? send(404, '{"detail":"Not found: it may have been deleted."}')
          : send(200, JSON.stringify(out))
      }
      return send(404, '{"detail":"Not Found"}')
    }
    const file = normalize(join(DIST, path))
    try {
      if (!extname(path) || !file.startsWith(DIST)) throw new Error('page')
      return send(200, await readFile(file), TYPES[extname(file)] ?? 'application/octet-stream')
    } catch {
      const html = (await readFile(join(DIST, 'index.html'), 'utf8')).replace(
        '<base href="/" />',
        `<base href="${base}/" />`,
      )
      res.writeHead(200, { 'content-type': TYPES['.html'], 'content-security-policy': CSP }).end(html)
    }
  })
  return new Promise((ready) =>
    server.listen(port, '127.0.0.1', () =>
      ready({
        url: `http://127.0.0.1:${server.address().port}${base}`,
        db: () => db,
        emit,
        stats,
        streams: () => streams.size,
        dropStreams: () => streams.forEach((s) => s.destroy()),
        close: () =>
          new Promise((done) => {
            streams.forEach((s) => s.destroy())
            server.close(done)
            server.closeAllConnections()
          }),
      }),
    ),
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  start({ port: Number(process.env.PORT ?? 4299) }).then((s) => console.log(s.url))
