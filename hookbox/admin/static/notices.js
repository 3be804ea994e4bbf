// Words to the operator: a line that goes away by itself, and what is read out to those who do not see it.

import { byId, h, say } from './dom.js';

let clearing = 0;

/** Say that something was done, or failed. */
export function tell(text, failed = false) {
  const line = h(failed ? 'p.told.failed' : 'p.told', text);
  byId('told').replaceChildren(line);
  clearTimeout(clearing);
  clearing = setTimeout(() => line.remove(), failed ? 10000 : 4000);
}

let last = 0;

/** Have something read out; what comes too fast is left out. */
export function announce(text) {
  if (Date.now() - last < 2000) return;
  last = Date.now();
  say(byId('announced'), text);
}
