import './early'
import './styles/tokens.css'
import './styles/base.css'
import './lib/theme.svelte'
import { mount } from 'svelte'
import App from './App.svelte'
import { api } from './lib/api'
import { now } from './lib/clock'
import { questionOf } from './lib/overview'
import { foresee } from './lib/resource.svelte'
import { here } from './lib/router.svelte'

/** To draw the page once with what it shows is less work than to draw it empty first; nobody waits longer for it. */
const PATIENCE_MS = 150

const first = questionOf(here.path, here.search, here.hash, now())
if (first) {
  const answer = api.overview(first.body, first.key)
  foresee(first.key, answer)
  await Promise.race([answer.catch(() => null), new Promise((done) => setTimeout(done, PATIENCE_MS))])
}

// What the page holds until its script is there, so that somebody sees at once that it comes.
const target = document.getElementById('app')!
target.replaceChildren()
mount(App, { target })
