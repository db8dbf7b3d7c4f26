// The real server and real agents, each with a home of its own that goes away with it.

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { until } from '../story.mjs'

export const ROOT = resolve(import.meta.dirname, '../../..')

/** The executable: what the environment names, else the one that the tests were compiled with. */
export function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target')
  const found = [process.env.PREFECT_RS_BIN, join(target, 'debug/prefect-rs')].find((path) => path && existsSync(path))
  if (!found) throw new Error('no prefect-rs to test: run `cargo build` first')
  return found
}

/** The Python of one generation of genuine clients. */
export function genuine(generation) {
  const folder = execFileSync(join(ROOT, 'tests/support/venv.sh'), [generation], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return join(folder.trim(), 'bin/python')
}

const freePort = () =>
  new Promise((done, fail) => {
    const probe = createServer()
    probe.on('error', fail)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => done(port))
    })
  })

export class Server {
  #children = []

  static async start({ env = {}, home = null } = {}) {
    const server = new Server()
    server.home = home ?? (await mkdtemp(join(tmpdir(), 'prefect-rs-ui-')))
    server.isMine = !home
    server.port = await freePort()
    server.origin = `http://127.0.0.1:${server.port}`
    server.url = server.origin
    const kept = ['PATH', 'HOME', 'LANG', 'TMPDIR'].filter((name) => name in process.env)
    server.env = {
      ...Object.fromEntries(kept.map((name) => [name, process.env[name]])),
      PREFECT_HOME: server.home,
      PREFECT_API_URL: `${server.origin}/api`,
      ...env,
    }
    await server.launch()
    return server
  }

  async launch() {
    this.process = this.#spawn('server', ['orion', 'start', '--host', '127.0.0.1', '--port', String(this.port)])
    await until('the server', async () => {
      if (this.process.exitCode !== null)
        throw new Error(`the server ended: ${await readFile(join(this.home, 'server.log'), 'utf8')}`)
      return fetch(`${this.origin}/api/health`).then(
        (r) => r.status < 500,
        () => false,
      )
    })
  }

  #spawn(name, args, program = binary(), env = this.env) {
    const log = openSync(join(this.home, `${name}.log`), 'a')
    const child = spawn(program, args, { env, cwd: this.home, stdio: ['ignore', log, log] })
    this.#children.push(child)
    return child
  }

  /** Starts flows of a genuine client, in a home of its own; ended with the server. */
  async genuine(generation, file, ...args) {
    const home = await mkdtemp(join(this.home, 'client-'))
    const quiet = {
      DO_NOT_TRACK: '1',
      PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
      PREFECT_LOGGING_TO_API_BATCH_INTERVAL: '0.2',
    }
    return this.#spawn(
      `client-${generation}`,
      [join(import.meta.dirname, 'flows', file), ...args],
      genuine(generation),
      { ...this.env, ...quiet, PREFECT_HOME: home },
    )
  }

  /** What a process that was started has written. */
  said(name) {
    return readFile(join(this.home, `${name}.log`), 'utf8').catch(() => '')
  }

  /** Starts an agent of a queue; ended with the server. */
  agent(queue) {
    return this.#spawn('agent', ['agent', 'start', queue])
  }

  /** Runs a command to its end and gives its output. */
  run(...args) {
    return new Promise((done, fail) => {
      const child = spawn(binary(), args, { env: this.env, cwd: this.home })
      let out = ''
      child.stdout.on('data', (d) => (out += d))
      child.stderr.on('data', (d) => (out += d))
      child.on('close', (code) =>
        code === 0 ? done(out.trim()) : fail(new Error(`prefect-rs ${args.join(' ')} ended with ${code}: ${out}`)),
      )
    })
  }

  async api(method, path, body) {
    const text = await this.text(path, method, body)
    return text ? JSON.parse(text) : null
  }

  /** What the API answers, as it is written. */
  async text(path, method = 'GET', body = undefined) {
    const response = await fetch(`${this.origin}/api${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...this.headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text
  }

  /** Deploys a shell script as a flow; gives the deployment's id. */
  async deploy({ flow, name, script, tags = [], parameters = {} }) {
    const stem = name.replace(/\W+/g, '-')
    await writeFile(join(this.home, `${stem}.sh`), `#!/bin/sh\n${script}\n`)
    await chmod(join(this.home, `${stem}.sh`), 0o755)
    const spec = [
      { name, flow_name: flow, flow_location: `./${stem}.sh`, tags, parameters, flow_runner: { type: 'subprocess' } },
    ]
    await writeFile(join(this.home, `${stem}.json`), JSON.stringify(spec))
    await this.run('deployment', 'create', `${stem}.json`)
    return (await this.api('GET', `/deployments/name/${encodeURIComponent(flow)}/${encodeURIComponent(name)}`)).id
  }

  /** Ends one process and waits for it. */
  async stop(child, signal = 'SIGTERM') {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((done) => child.once('close', done))
    child.kill(signal)
    const hard = setTimeout(() => child.kill('SIGKILL'), 5000)
    await gone
    clearTimeout(hard)
  }

  async close() {
    // Last started, first ended: agents hand back their runs while the server still answers.
    for (const child of this.#children.toReversed()) await this.stop(child)
    if (this.isMine) await rm(this.home, { recursive: true, force: true })
  }
}
