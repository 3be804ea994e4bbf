// The keyboard: `/` to the filter, `g` and a letter to a page, `j` and `k` through a list, `?` shows them all.

import { fill, h } from './dom.js';
import { go, here } from './router.js';

const PATIENCE = 1500; // milliseconds between `g` and its letter

/**
 * Listen to the keyboard.
 *
 * @param pages `{letter, name, parts}`
 */
export function listen(pages) {
  let since = 0;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' && typing(event.target)) return event.target.blur();
    if (typing(event.target) || document.querySelector('dialog[open]')) return;
    const page = Date.now() - since < PATIENCE && pages.find(({ letter }) => letter === event.key);
    since = 0;
    if (page) act(event, () => go(page.parts));
    else if (event.key === 'g') since = Date.now();
    else if (event.key === '/') act(event, focusFilter);
    else if (event.key === '?') act(event, () => showKeys(pages));
    else if (event.key === 'j' || event.key === 'k') act(event, () => step(event.key === 'j' ? 1 : -1));
    else if (event.key === 'Escape' && !event.target.closest('.plot')) up();
  });
}

function act(event, what) {
  event.preventDefault();
  what();
}

function typing(element) {
  return element.matches('textarea, select, input:not([type=checkbox])') || element.isContentEditable;
}

function focusFilter() {
  const input =
    document.querySelector('main [data-filter]') ??
    document.querySelector('main .filters :is(input, select)');
  input?.focus();
  input?.select?.();
}

/** From one row's link to the next. */
function step(by) {
  const links = [...document.querySelectorAll('main tbody tr')]
    .map((row) => row.querySelector('a'))
    .filter(Boolean);
  if (!links.length) return;
  const now = links.findIndex((link) => link.closest('tr').contains(document.activeElement));
  links[now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + by))].focus();
}

/** Out of one thing, to the list it is in. */
function up() {
  const { parts, query } = here();
  if (parts.length > 1) go([parts[0]], Object.fromEntries(query));
}

/** Show what the keys do. */
export function showKeys(pages) {
  const rows = [
    ['/', 'to the filter'],
    ['j  k', 'down and up in a list'],
    ['Enter', 'open'],
    ['Esc', 'close; back to the list'],
    ['← →', 'read a plot'],
    ...pages.map(({ letter, name }) => [`g ${letter}`, name]),
    ['?', 'this'],
  ];
  const dialog = h('dialog.keys', { 'aria-labelledby': 'keys-title' });
  const items = rows.map(([keys, does]) =>
    h(
      'div',
      h(
        'dt',
        keys.split(/ +/).map((key) => h('kbd', key)),
      ),
      h('dd', does),
    ),
  );
  fill(
    dialog,
    h(
      'form',
      { method: 'dialog' },
      h('h2', { id: 'keys-title' }, 'Keys'),
      h('dl', items),
      h('div.buttons', h('button.primary', 'Close')),
    ),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
