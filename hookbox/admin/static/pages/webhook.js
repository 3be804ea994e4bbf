// One webhook: what was asked, what was answered, how it ended and why; send it again.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { fill, h } from '../dom.js';
import { bytes, clock, json, took, when } from '../format.js';
import { icon } from '../icons.js';
import { tell } from '../notices.js';
import { address, go, here } from '../router.js';
import { facts } from '../table.js';
import {
  badge,
  button,
  channelLink,
  code,
  connectionLink,
  hidden,
  revealBody,
  sessionLink,
  userLink,
  verdict,
} from '../values.js';

let again = ''; // the URL that one was last sent to

/** Show a webhook in a place. */
export async function showWebhook(place, id, signal) {
  try {
    const item = await api.get('api/webhook', { id }, signal);
    if (here().parts[1] !== id) return; // somebody went on meanwhile
    fill(place, close(), heading(item), ending(item), about(item), request(item), answer(item));
    place.scrollTop = 0;
    if (getComputedStyle(place).position === 'sticky') return;
    window.scrollTo(0, 0); // there is no room for the list beside it
    place.focus({ preventScroll: true });
  } catch (error) {
    if (error.name === 'AbortError') return;
    const text =
      error.status === 404
        ? 'This webhook is no longer remembered. The setting webhook_log says how many are.'
        : error.message;
    fill(place, close(), h('p.problem', { role: 'alert' }, text));
  }
}

function close() {
  const list = address('webhooks', Object.fromEntries(here().query));
  return h(
    'a.icon-button.shut',
    { href: list, 'aria-label': 'Back to the list', title: 'Back to the list (Esc)' },
    icon('close'),
  );
}

function heading(item) {
  return h(
    'div.head',
    h('h2', item.action, ' ', verdict(item.verdict), item.again && badge('sent again')),
    h(
      'div.buttons',
      button('Send again', () => sendAgain(item.id)),
      button('Send elsewhere…', () => sendElsewhere(item)),
    ),
  );
}

/** Why it ended as it did, and what to do about it. */
function ending({ verdict: word, why, hint }) {
  if (word === 'allowed' && !why && !hint) return null;
  return h(
    `div.ending.${word}`,
    { role: 'note' },
    h('p.reason', why || 'No reason is known.'),
    hint && h('p.mend', h('b', 'Hint: '), hint),
  );
}

function about(item) {
  return facts([
    ['When', [when(item.at), ' (', clock(item.at), ')']],
    ['User', item.user && userLink(item.user)],
    ['Channel', item.channel && channelLink(item.channel)],
    ['Connection', item.connection && connectionLink(item.connection)],
    ['Login', item.session && sessionLink(item.session)],
    [
      'Took',
      `${took(item.took)}${item.waited > 0.0005 ? `, of which ${took(item.waited)} waiting for its turn` : ''}`,
    ],
    ['Sent to', item.url ? null : 'nowhere: the application was not asked'],
  ]);
}

function request({ id, request: asked }) {
  if (!asked) return null;
  return h(
    'section',
    h('h3', 'Request'),
    h('p.line', h('code', `${asked.method} ${asked.url}`)),
    pairs('Headers', asked.headers),
    pairs('Form', asked.form),
    hidden('form with its payload', async () =>
      spelled((await api.post('api/reveal', { what: 'webhook', id })).form),
    ),
  );
}

const spelled = (form) => (form ?? []).map(([name, value]) => `${name} = ${value}`).join('\n');

function answer({ id, answer: given }) {
  if (!given || !given.status) return h('section', h('h3', 'Answer'), h('p.soft', 'There was none.'));
  return h(
    'section',
    h('h3', 'Answer ', badge(String(given.status), given.status === 200 ? 'good' : 'bad')),
    pairs('Headers', given.headers),
    given.body !== null && code(json(given.body), 'body of the answer, its values masked'),
    given.size
      ? hidden('body as it came', revealBody('webhook', { id }), bytes(given.size))
      : h('p.soft', 'Its body is empty.'),
  );
}

function pairs(title, given) {
  if (!given?.length) return null;
  return h(
    'table.pairs',
    h('caption', title),
    h(
      'tbody',
      given.map(([name, value]) => h('tr', h('th', { scope: 'row' }, name), h('td', value))),
    ),
  );
}

async function sendAgain(id, url) {
  const item = await api.post('api/webhook/again', url ? { id, url } : { id });
  tell(`Sent again: ${item.verdict.replace('_', ' ')}${item.why ? `, ${item.why}` : ''}.`);
  go(['webhooks', item.id], Object.fromEntries(here().query));
}

function sendElsewhere({ id, url }) {
  return ask({
    title: 'Send it to another URL',
    text:
      'The same form, with the same cookies and the webhook secret, goes there now: to your development ' +
      'server, say. Whoever gets it can act as this user. What it answers changes nothing here.',
    fields: [{ name: 'url', label: 'URL', type: 'url', value: again || url, required: true }],
    action: 'Send',
    act: async (given) => {
      again = given.url;
      await sendAgain(id, given.url);
    },
  });
}
