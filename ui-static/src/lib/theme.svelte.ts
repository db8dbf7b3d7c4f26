// Light, dark or the system's; palettes of the states. Kept in this browser only.

export type Mode = 'system' | 'light' | 'dark'
export type Palette = 'default' | 'safe' | 'contrast'

const read = (key: string) => {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

const keep = (key: string, value: string) => {
  try {
    localStorage.setItem(key, value)
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

const dark = matchMedia('(prefers-color-scheme: dark)')

class Theme {
  mode = $state<Mode>((read('theme') as Mode | null) ?? 'system')
  palette = $state<Palette>((read('palette') as Palette | null) ?? 'default')
  system = $state(dark.matches)
  /** Changes with each repaint that a canvas has to follow. */
  version = $state(0)

  constructor() {
    dark.addEventListener('change', () => {
      this.system = dark.matches
      this.apply()
    })
    this.apply()
  }

  get isDark() {
    return this.mode === 'dark' || (this.mode === 'system' && this.system)
  }

  set(mode: Mode) {
    this.mode = mode
    keep('theme', mode)
    this.apply()
  }

  setPalette(palette: Palette) {
    this.palette = palette
    keep('palette', palette)
    this.apply()
  }

  cycle() {
    this.set(this.isDark ? 'light' : 'dark')
  }

  apply() {
    const root = document.documentElement
    root.dataset.switching = ''
    root.dataset.theme = this.isDark ? 'dark' : 'light'
    root.dataset.palette = this.palette
    // Asking for a size makes the browser take the new colours while nothing glides.
    void document.body.offsetHeight
    delete root.dataset.switching
    this.version++
  }
}

export const theme = new Theme()

/** The value of a colour token, for canvases. */
export const token = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()

const written = new Map<string, string>()

/** The ink that is read best on a colour, for canvases: white, or nearly black. */
export function readable(ground: string): string {
  let ink = written.get(ground)
  if (ink === undefined) {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = parseInt(ground.slice(at, at + 2), 16) / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    }) as [number, number, number]
    const light = 0.2126 * r + 0.7152 * g + 0.0722 * b
    // Where both have the same ratio of contrast by WCAG: against white it is 1.05 / (light + 0.05).
    written.set(ground, (ink = (light + 0.05) ** 2 > 1.05 * 0.057 ? '#0a1020' : '#ffffff'))
  }
  return ink
}
