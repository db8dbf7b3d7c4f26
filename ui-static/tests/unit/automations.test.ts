import { expect, test } from 'vitest'
import { actionWords, triggerLines } from '../../src/lib/automations'

test('a trigger is told in a sentence, those inside it beneath', () => {
  const any = { 'prefect.resource.id': 'prefect.flow-run.*' }
  expect(
    triggerLines({
      type: 'event',
      posture: 'Reactive',
      match: any,
      expect: ['prefect.flow-run.Failed', 'prefect.flow-run.Crashed'],
      threshold: 3,
      within: 3600,
      for_each: ['prefect.resource.id'],
    }),
  ).toEqual([
    { depth: 0, text: 'When flow run Failed or flow run Crashed happens 3 times within 1h, counted for each resource' },
  ])
  expect(
    triggerLines({
      type: 'event',
      posture: 'Proactive',
      match: { 'prefect.resource.id': ['prefect.deployment.*'] },
      expect: ['acme.done'],
      within: 60,
      match_related: { 'prefect.resource.role': 'flow', 'prefect.resource.name': 'etl' },
    })[0]!.text,
  ).toBe('When acme.done of any deployment, related to flow etl does not happen within 1m')
  expect(
    triggerLines({
      type: 'compound',
      require: 'all',
      triggers: [
        { type: 'event', posture: 'Reactive', expect: ['a.b'], match: {}, match_related: {} },
        { type: 'sequence', triggers: [{}] },
      ],
    }).map((l) => `${l.depth} ${l.text}`),
  ).toEqual(['0 When all of these happen', '1 a.b happens', '1 these happen in order', '2 anything happens'])
  expect(actionWords({ type: 'pause-deployment', source: 'inferred' })).toBe(
    'Pause the deployment that the event is about',
  )
  // What has an id is called as events call it; the page puts its name there.
  expect(actionWords({ type: 'run-deployment', deployment_id: 'x', schedule_after: 60 })).toBe(
    'Run prefect.deployment.x, 1m later',
  )
  expect(actionWords({ type: 'send-notification', block_document_id: 'b', subject: 'Failed' })).toBe(
    'Send “Failed” through prefect.block-document.b',
  )
})
