import './styles/tokens.css'
import './styles/base.css'
import './lib/theme.svelte'
import { mount } from 'svelte'
import App from './App.svelte'

// What the page holds until its script is there, so that somebody sees at once that it comes.
const target = document.getElementById('app')!
target.replaceChildren()
mount(App, { target })
