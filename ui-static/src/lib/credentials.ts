// What this browser shows to a server that asks who it is. Kept in each tab only, and gone with the last.

const KEY = 'prefect-rs.credentials'

/** `user:password` goes as Basic, anything else is a token. */
export function authorization(credentials: string): string {
  if (!credentials.includes(':')) return `Bearer ${credentials}`
  const bytes = new TextEncoder().encode(credentials)
  return `Basic ${btoa(String.fromCharCode(...bytes))}`
}

export const headers = (credentials: string): Record<string, string> =>
  credentials ? { authorization: authorization(credentials) } : {}

export function read(): string {
  try {
    return sessionStorage.getItem(KEY) ?? ''
  } catch {
    return ''
  }
}

export function keep(credentials: string) {
  try {
    if (credentials) sessionStorage.setItem(KEY, credentials)
    else sessionStorage.removeItem(KEY)
  } catch {
    // Storage may be forbidden; the credentials then last as long as the page.
  }
}
