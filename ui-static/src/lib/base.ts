// Where the dashboard lies on its server.

export const BASE = new URL(document.baseURI).pathname.replace(/\/$/, '')

/** A path of the browser without the base. */
export const strip = (path: string): string => (BASE && path.startsWith(BASE) ? path.slice(BASE.length) : path) || '/'

export const API = `${BASE}/api`
