// Every page of the made-up data, for the tests that look at all of them.

export function pages(db) {
  const late = db.runs.find((r) => r.state_name === 'Late').id
  return {
    dashboard: '/',
    panel: `/?panel=flow:${db.flows[0].id}`,
    runs: '/runs',
    'task-runs': '/task-runs',
    run: `/flow-run/${db.pretty.id}`,
    'run-deps': `/flow-run/${db.pretty.id}?graph=dependencies&tab=states`,
    'run-results': `/flow-run/${db.pretty.id}?tab=results`,
    'run-unfolded': `/flow-run/${db.pretty.id}?subflows=1&tab=subflows`,
    'run-unfolded-lanes': `/flow-run/${db.pretty.id}?graph=lanes&subflows=1`,
    'run-500': `/flow-run/${db.wide.id}`,
    'run-500-deps': `/flow-run/${db.wide.id}?graph=dependencies&tab=tasks`,
    'run-500-lanes': `/flow-run/${db.wide.id}?graph=lanes`,
    'run-live': `/flow-run/${db.live.id}`,
    'run-paused': `/flow-run/${db.paused.id}`,
    'run-late': `/flow-run/${late}`,
    'task-run': `/task-run/${db.taskRuns[0].id}`,
    deployments: '/deployments',
    deployment: `/deployment/${db.deployments[1].id}`,
    queues: '/work-queues',
    queue: `/work-queue/${db.queues[0].id}`,
    pools: '/work-pools',
    automations: '/automations',
    events: '/events',
    blocks: '/blocks',
    limits: '/concurrency-limits',
    settings: '/settings',
    nowhere: '/no/such/page',
  }
}
