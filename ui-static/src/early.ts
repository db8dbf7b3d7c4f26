// Runs as soon as the page's text is there: the server works on the first answers while the browser still
// reads the script that shows them.

import { askAhead, askForPage } from './lib/ahead'
import { strip } from './lib/base'
import { now } from './lib/clock'
import { questionOf } from './lib/overview'

const path = strip(location.pathname)
const first = questionOf(path, location.search, location.hash, now())
if (first) askAhead(first.key, '/ui/overview', first.body)
else askForPage(path)
