// Every page of the dashboard on one screen. All but the first are fetched when somebody goes there.

import type { Component } from 'svelte'
import { plain } from './lib/ahead'
import Dashboard from './pages/Dashboard.svelte'

export interface Match {
  load: () => Promise<{ default: Component<{ id: string }> }>
  id: string
  /** The navigation entry that it belongs to. */
  section: string
}

type Load = Match['load']

const page = (load: () => Promise<unknown>) => load as Load

const ROUTES: [RegExp, Load, string][] = [
  [/^\/(?:flows|dashboard)?\/?$/, page(async () => ({ default: Dashboard })), '/'],
  [/^\/runs\/?$/, page(() => import('./pages/Runs.svelte')), '/runs'],
  [/^\/task-runs\/?$/, page(() => import('./pages/TaskRuns.svelte')), '/task-runs'],
  [/^\/flow-run\/([^/]+)\/?$/, page(() => import('./pages/FlowRun.svelte')), '/runs'],
  [/^\/task-run\/([^/]+)\/?$/, page(() => import('./pages/TaskRun.svelte')), '/task-runs'],
  [/^\/deployments\/?$/, page(() => import('./pages/Deployments.svelte')), '/deployments'],
  [/^\/deployment\/([^/]+)\/?$/, page(() => import('./pages/Deployment.svelte')), '/deployments'],
  [/^\/work-queues\/?$/, page(() => import('./pages/Queues.svelte')), '/work-queues'],
  [/^\/work-queue\/([^/]+)\/?$/, page(() => import('./pages/Queue.svelte')), '/work-queues'],
  [/^\/work-pools\/?$/, page(() => import('./pages/Pools.svelte')), '/work-pools'],
  [/^\/work-pool\/([^/]+)\/?$/, page(() => import('./pages/Pool.svelte')), '/work-pools'],
  [/^\/automations\/?$/, page(() => import('./pages/Automations.svelte')), '/automations'],
  [/^\/automation\/([^/]+)\/?$/, page(() => import('./pages/Automation.svelte')), '/automations'],
  [/^\/notifications\/?$/, page(() => import('./pages/Notifications.svelte')), '/notifications'],
  [/^\/events\/?$/, page(() => import('./pages/Events.svelte')), '/events'],
  [/^\/variables\/?$/, page(() => import('./pages/Variables.svelte')), '/variables'],
  [/^\/artifacts\/?$/, page(() => import('./pages/Artifacts.svelte')), '/artifacts'],
  [/^\/artifact\/([^/]+)\/?$/, page(() => import('./pages/Artifact.svelte')), '/artifacts'],
  [/^\/blocks\/?$/, page(() => import('./pages/Blocks.svelte')), '/blocks'],
  [/^\/concurrency-limits\/?$/, page(() => import('./pages/Limits.svelte')), '/concurrency-limits'],
  [/^\/settings\/?$/, page(() => import('./pages/Settings.svelte')), '/settings'],
]

/** Where links made for other dashboards lead here. */
const MOVED: [RegExp, string][] = [
  [/^\/(?:flow-runs\/flow-run|runs\/flow-run|flow-runs|runs)\/([^/]+)(?:\/radar)?\/?$/, '/flow-run/$1'],
  [/^\/flow-run\/([^/]+)\/(?:radar|timeline)\/?$/, '/flow-run/$1'],
  [/^\/(?:flow-runs\/task-run|task-runs\/task-run|runs\/task-run|task-runs)\/([^/]+)\/?$/, '/task-run/$1'],
  [/^\/flow-runs\/?$/, '/runs'],
  [/^\/deployments\/(?:deployment\/)?([^/]+)\/?$/, '/deployment/$1'],
  [/^\/(?:work-pools\/work-pool|work-pools)\/([^/]+)(?:\/.*)?$/, '/work-pool/$1'],
  [/^\/automations\/(?:automation\/)?([^/]+)\/?$/, '/automation/$1'],
  [/^\/artifacts\/(?:artifact\/)?([0-9a-f-]{36})\/?$/, '/artifact/$1'],
  [/^\/artifacts\/key\/([^/]+)\/?$/, '/artifacts?key=$1'],
  [/^\/notifications\/.*$/, '/notifications'],
  [/^\/(?:event-feed|events\/.*)\/?$/, '/events'],
  [/^\/work-queues\/(?:work-queue\/)?([^/]+)\/?$/, '/work-queue/$1'],
  [/^\/blocks\/.+$/, '/blocks'],
  [/^\/concurrency-limits\/.+$/, '/concurrency-limits'],
  [/^\/flows\/(?:flow\/)?([^/]+)\/?$/, '/?panel=flow:$1'],
  [/^\/flow\/([^/]+)\/?$/, '/?panel=flow:$1'],
]

export function match(path: string): Match | { moved: string } {
  for (const [pattern, load, section] of ROUTES) {
    const found = pattern.exec(path)
    if (found) return { load, id: found[1] ? plain(found[1]) : '', section }
  }
  for (const [pattern, to] of MOVED) if (pattern.test(path)) return { moved: path.replace(pattern, to) }
  return { load: page(() => import('./pages/NotFound.svelte')), id: path, section: '' }
}
