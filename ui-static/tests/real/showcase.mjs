// A server with something on every page of newer clients, made through the API: hostile texts included.

export const HOSTILE = '<img src=x onerror="window.__hacked=1"> \u202Egnp.exe\u202C'
export const SCHEMA = {
  type: 'object',
  title: 'Parameters',
  required: ['city'],
  properties: {
    city: { type: 'string', title: 'city', description: 'Where the weather is looked up', position: 0 },
    days: { type: 'integer', title: 'days', default: 3, minimum: 1, maximum: 14, position: 1 },
    unit: { title: 'unit', enum: ['celsius', 'fahrenheit'], default: 'celsius', position: 2 },
    since: {
      anyOf: [{ type: 'string', format: 'date-time' }, { type: 'null' }],
      title: 'since',
      default: null,
      position: 3,
    },
    station: { $ref: '#/definitions/Station', title: 'station', position: 4 },
    tags: { type: 'array', items: { type: 'string' }, title: 'tags', default: ['a'], position: 5 },
    dry_run: { type: 'boolean', title: 'dry_run', default: false, position: 6 },
    area: {
      type: 'array',
      title: 'area',
      prefixItems: [{ type: 'number' }, { type: 'number' }, { enum: ['km', 'mi'] }],
      minItems: 3,
      maxItems: 3,
      position: 7,
    },
    labels: { type: 'object', title: 'labels', additionalProperties: { type: 'string' }, position: 8 },
    options: { type: 'object', title: 'options', description: 'Passed on as they are', position: 9 },
  },
  definitions: {
    Station: {
      type: 'object',
      title: 'Station',
      required: ['name'],
      properties: { name: { type: 'string', title: 'Name' }, height: { type: 'number', title: 'Height', default: 10 } },
    },
  },
}

/** Fills the server and gives the paths of what is there by name. */
export async function showcase(server) {
  const api = (method, path, body) => server.api(method, path, body)
  for (const pool of [
    { name: 'kubernetes-prod', type: 'kubernetes', description: 'The cluster in Frankfurt', concurrency_limit: 4 },
    { name: 'laptops', type: 'process' },
    { name: 'old-agents', type: 'prefect-agent' },
  ])
    await api('POST', '/work_pools/', pool)
  await api('PATCH', '/work_pools/laptops', { is_paused: true })
  await api('POST', '/work_pools/kubernetes-prod/queues', { name: 'urgent', priority: 1, concurrency_limit: 2 })
  await api('POST', '/work_pools/kubernetes-prod/workers/heartbeat', { name: 'KubernetesWorker 5f1c' })
  const flow = (await api('POST', '/flows/', { name: 'Weather report', tags: ['weather'] })).id
  const evil = (await api('POST', '/flows/', { name: HOSTILE })).id
  const deployment = (
    await api('POST', '/deployments/', {
      name: 'daily-bremen',
      flow_id: flow,
      tags: ['weather'],
      work_pool_name: 'kubernetes-prod',
      work_queue_name: 'urgent',
      entrypoint: 'flows/weather.py:report',
      path: '/opt/flows',
      version: '1.4.8',
      description:
        '# Weather\n\nFetches the **forecast** and writes it.\n\n- [x] checked\n- [ ] sent\n\n| city | °C |\n|---|--:|\n| Bremen | 7 |\n\n`<b>no</b>` [home](/) [bad](javascript:alert(1)) ![away](https://example.org/x.png)\n\n```py\nprint(1)\n```',
      parameters: { city: 'Bremen', station: { name: 'Airport' }, labels: { team: 'weather' } },
      parameter_openapi_schema: SCHEMA,
      job_variables: { image: 'weather:1.4.8', cpu: 2 },
      schedules: [
        { schedule: { cron: '0 9 * * 1-5', timezone: 'Europe/Berlin' } },
        { schedule: { interval: 21600 }, active: false, slug: 'six-hourly' },
        {
          schedule: { rrule: 'FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=6;BYMINUTE=0', timezone: 'UTC' },
          parameters: { days: 14 },
        },
      ],
    })
  ).id
  await api('POST', '/deployments/', { name: HOSTILE, flow_id: evil, parameters: { [HOSTILE]: HOSTILE } })
  const runs = []
  for (let i = 0; i < 4; i++)
    runs.push(
      (
        await api('POST', `/deployments/${deployment}/create_flow_run`, {
          state: { type: 'SCHEDULED', message: 'Quick run through UI' },
        })
      ).id,
    )
  for (const [i, states] of [
    ['PENDING', 'RUNNING', 'COMPLETED'],
    ['PENDING', 'RUNNING', 'FAILED'],
    ['PENDING', 'RUNNING'],
  ].entries())
    for (const type of states)
      await api('POST', `/flow_runs/${runs[i]}/set_state`, {
        state: { type, message: type === 'FAILED' ? `Flow run encountered an exception: ${HOSTILE}` : null },
        force: true,
      })
  // A kind of block that can be told something, and one that refers to it.
  const type = (
    await api('POST', '/block_types/', {
      name: 'Team Chat',
      slug: 'team-chat',
      description: 'Tells a room of the team’s chat.',
    })
  ).id
  const fields = (properties, more = {}) => ({
    type: 'object',
    title: 'TeamChat',
    required: Object.keys(properties),
    properties,
    ...more,
  })
  const chat = (
    await api('POST', '/block_schemas/', {
      block_type_id: type,
      capabilities: ['notify'],
      fields: fields(
        {
          room: { type: 'string', title: 'Room', description: 'Where it is said' },
          token: { type: 'string', title: 'Token', format: 'password', writeOnly: true },
          loud: { type: 'boolean', title: 'Loud', default: false },
        },
        { secret_fields: ['token'], required: ['room', 'token'] },
      ),
    })
  ).id
  const block = (
    await api('POST', '/block_documents/', {
      name: 'ops-chat',
      data: { room: 'ops', token: 'not to be seen' },
      block_type_id: type,
      block_schema_id: chat,
    })
  ).id
  const relay = (await api('POST', '/block_types/', { name: 'Relay', slug: 'relay' })).id
  const relays = (
    await api('POST', '/block_schemas/', {
      block_type_id: relay,
      fields: fields(
        { chat: { $ref: '#/definitions/TeamChat' }, note: { type: 'string', title: 'Note' } },
        {
          title: 'Relay',
          block_schema_references: { chat: { block_type_slug: 'team-chat', block_schema_checksum: 'x' } },
          definitions: {
            TeamChat: {
              type: 'object',
              title: 'TeamChat',
              block_type_slug: 'team-chat',
              properties: { room: { type: 'string' } },
            },
          },
        },
      ),
    })
  ).id
  await api('POST', '/block_documents/', {
    name: 'night-relay',
    data: { chat: { $ref: { block_document_id: block } }, note: HOSTILE },
    block_type_id: relay,
    block_schema_id: relays,
  })
  for (const body of [
    { state_names: ['Failed', 'Crashed'], tags: ['weather'] },
    { state_names: [], tags: [], is_active: false, message_template: '{flow_run_name} is {flow_run_state_name}' },
  ])
    await api('POST', '/flow_run_notification_policies/', { is_active: true, block_document_id: block, ...body })
  const trigger = (more) => ({
    type: 'event',
    match: { 'prefect.resource.id': 'prefect.flow-run.*' },
    posture: 'Reactive',
    threshold: 1,
    within: 0,
    ...more,
  })
  const automations = []
  for (const body of [
    {
      name: 'Pause what keeps failing',
      description: 'Three failures within an hour',
      tags: ['ops'],
      trigger: trigger({
        expect: ['prefect.flow-run.Failed'],
        threshold: 3,
        within: 3600,
        for_each: ['prefect.resource.id'],
      }),
      actions: [{ type: 'pause-deployment', source: 'inferred' }],
    },
    {
      name: 'Tell the team',
      trigger: trigger({
        match: { 'prefect.resource.id': `prefect.deployment.${deployment}` },
        expect: ['prefect.deployment.not-ready'],
      }),
      actions: [
        { type: 'send-notification', block_document_id: block, subject: 'Late', body: 'Nobody runs it' },
        { type: 'run-deployment', source: 'selected', deployment_id: deployment, parameters: {} },
      ],
    },
    {
      name: 'Cancel long runs',
      trigger: trigger({
        after: ['prefect.flow-run.Running'],
        expect: ['prefect.flow-run.*'],
        posture: 'Proactive',
        within: 3600,
        for_each: ['prefect.resource.id'],
      }),
      actions: [{ type: 'cancel-flow-run' }],
    },
    {
      name: HOSTILE,
      enabled: false,
      trigger: {
        type: 'compound',
        require: 'any',
        within: 60,
        triggers: [
          trigger({
            expect: ['prefect.flow-run.Completed'],
            match_related: { 'prefect.resource.role': 'deployment', 'prefect.resource.name': HOSTILE },
          }),
          trigger({ expect: [HOSTILE] }),
        ],
      },
      actions: [{ type: 'run-deployment', source: 'selected', deployment_id: deployment, parameters: {} }],
    },
  ])
    automations.push((await api('POST', '/automations/', body)).id)
  for (const body of [
    { name: 'threshold', value: 30, tags: ['weather'] },
    { name: 'warehouse_url', value: 'https://warehouse.example.org/v1' },
    { name: 'stations', value: { bremen: [1, 2], note: HOSTILE } },
  ])
    await api('POST', '/variables/', body)
  const artifact = async (body) => (await api('POST', '/artifacts/', { flow_run_id: runs[0], ...body })).id
  await artifact({ key: 'report', type: 'markdown', data: '# Yesterday', description: 'The older one' })
  const report = await artifact({
    key: 'report',
    type: 'markdown',
    description: 'Totals of the day',
    data: `# Orders\n\nAll **fine**, ${HOSTILE}\n\n<script>window.__hacked = 1</script>\n\n| shop | orders |\n|---|--:|\n| Bremen | 47 |\n\n![away](https://example.org/pixel.png) ![own](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)`,
  })
  const table = await artifact({
    key: 'orders',
    type: 'table',
    data: JSON.stringify([
      { order: 4711, customer: HOSTILE, total: 12.5 },
      { order: 4712, customer: 'Smith', total: 7 },
    ]),
  })
  await artifact({ key: 'loading', type: 'progress', data: 62.5, description: 'Rows loaded' })
  await artifact({ key: 'dashboard', type: 'link', data: '[Dashboard](https://example.org/d)' })
  await artifact({ key: 'map', type: 'image', data: 'https://example.org/map.png' })
  await artifact({ type: 'result', data: null, description: '`/storage/5f1c`' })
  for (const body of [
    { name: 'warehouse', limit: 5 },
    { name: 'forecast-api', limit: 10, slot_decay_per_second: 0.5 },
  ])
    await api('POST', '/v2/concurrency_limits/', body)
  await api('POST', '/concurrency_limits/', { tag: 'gpu', concurrency_limit: 1 })
  const now = Date.now()
  await api(
    'POST',
    '/events',
    Array.from({ length: 60 }, (_, i) => ({
      occurred: new Date(now - i * 45_000 * 20).toISOString(),
      event: i % 7 ? 'acme.order.placed' : HOSTILE,
      resource: {
        'prefect.resource.id': `acme.order.${i}`,
        'prefect.resource.name': i % 5 ? `Order ${4700 + i}` : HOSTILE,
      },
      related: [
        {
          'prefect.resource.id': `prefect.flow-run.${runs[i % 4]}`,
          'prefect.resource.role': 'flow-run',
          'prefect.resource.name': 'amber-heron',
        },
      ],
      payload: { total: i, note: HOSTILE },
      id: crypto.randomUUID(),
    })),
  )
  return {
    deployment,
    runs,
    automations,
    block,
    pages: {
      pools: '/work-pools',
      pool: '/work-pool/kubernetes-prod',
      'pool-workers': '/work-pool/kubernetes-prod?tab=workers',
      'pool-waiting': '/work-pool/kubernetes-prod?tab=runs',
      'pool-deployments': '/work-pool/kubernetes-prod?tab=deployments',
      'deployment-new': `/deployment/${deployment}`,
      'deployment-parameters': `/deployment/${deployment}?tab=parameters`,
      'deployment-description': `/deployment/${deployment}?tab=description`,
      'deployment-infrastructure': `/deployment/${deployment}?tab=infrastructure`,
      'deployment-details': `/deployment/${deployment}?tab=details`,
      automations: '/automations',
      automation: `/automation/${automations[0]}`,
      'automation-compound': `/automation/${automations[3]}`,
      'automation-names': `/automation/${automations[1]}`,
      events: '/events',
      'events-filtered': '/events?event=acme.*',
      'run-in-pool': `/flow-run/${runs[3]}`,
      'deployments-new': '/deployments',
      variables: '/variables',
      artifacts: '/artifacts',
      'artifact-markdown': `/artifact/${report}`,
      'artifact-table': `/artifact/${table}`,
      'run-artifacts': `/flow-run/${runs[0]}?tab=artifacts`,
      'run-results': `/flow-run/${runs[0]}?tab=results`,
      limits: '/concurrency-limits',
      'blocks-new': '/blocks',
      notifications: '/notifications',
      'run-details': `/flow-run/${runs[3]}?tab=details`,
      'run-variables': `/flow-run/${runs[3]}?tab=variables`,
    },
  }
}
