// Where the dashboard lies on its server.

export const BASE = new URL(document.baseURI).pathname.replace(/\/$/, '')

/** A path of the browser without the base. */
export const strip = (path: string): string => without(BASE, path)

/** `/deep/uix` does not lie under `/deep/ui`. */
export const without = (base: string, path: string): string =>
  path === base ? '/' : base && path.startsWith(`${base}/`) ? path.slice(base.length) : path || '/'

export const API = `${BASE}/api`
