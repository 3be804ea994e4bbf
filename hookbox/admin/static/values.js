// How the things that Hookbox knows look: names that link to their pages, verdicts, states, what is masked.

import * as api from './api.js';
import { fill, h } from './dom.js';
import { bytes, json, laidOut } from './format.js';
import { tell } from './notices.js';
import { address } from './router.js';

const VERDICTS = { allowed: 'good', refused: 'warn', failed: 'bad', not_asked: 'bad' };
const WORDS = { not_asked: 'not asked', in_flight: 'in flight' };
const STATES = {
  succeeded: 'good',
  enabled: 'good',
  active: 'good',
  verified: 'good',
  done: 'good',
  dead: 'bad',
  disabled: 'bad',
  failed: 'bad',
  denied: 'bad',
  held: 'warn',
  cancelled: 'warn',
  paused: 'warn',
  waiting: 'warn',
  expired: 'warn',
};

const linkTo = (page) => (name) => (name ? h('a.name', { href: address([page, name]) }, name) : '–');

export const channelLink = linkTo('channels');
export const userLink = linkTo('users');

/** Names are long there; their beginning is enough to tell them apart. */
const shortTo = (page) => (id) => (id ? h('a.id', { href: address([page, id]), title: id }, short(id)) : '–');

export const connectionLink = shortTo('connections');
export const sessionLink = shortTo('sessions');

/** What makes those different is their end. */
const endTo = (page) => (id) =>
  id ? h('a.id', { href: address([page, id]), title: id }, `${id.split('_')[0]}_…${id.slice(-8)}`) : '–';

export const deliveryLink = endTo('deliveries');
export const endpointLink = endTo('endpoints');

/** The beginning of an id. */
export function short(id) {
  return id.length > 12 ? `${id.slice(0, 10)}…` : id;
}

/** A word in its colour. */
export function badge(word, colour) {
  return h(`span.badge${colour ? `.${colour}` : ''}`, word);
}

/** How a webhook ended. */
export const verdict = (word) => badge(WORDS[word] ?? word, VERDICTS[word]);

/** The state of a delivery, an endpoint, a subscription, a job. */
export const state = (word) => badge(WORDS[word] ?? word, STATES[word]);

/** A yes, or nothing. */
export const flag = (value, word) => (value ? h('span.flag', word) : null);

/** Several of them, apart. */
export function several(items) {
  const there = items.filter(Boolean);
  return there.length ? h('span.several', there) : null;
}

/** Text as it is, in lines. */
export function code(text, label) {
  return h('pre', { tabindex: 0, role: 'region', 'aria-label': label }, text);
}

/**
 * Something that is hidden until it is asked for.
 *
 * @param fetch resolves to the text to show
 */
export function hidden(label, fetch, note = '') {
  const place = h('div.hidden-value');
  const show = async () => {
    try {
      fill(place, code(await fetch(), label)).classList.add('opened');
    } catch (error) {
      tell(error.message, true);
    }
  };
  return fill(
    place,
    h('button.quiet', { type: 'button', onclick: show }, `Show ${label}`),
    note && h('small', note),
  );
}

/** Fetches a payload unmasked, as JSON; the log notes it. */
export const revealPayload = (what, about) => async () =>
  json((await api.post('api/reveal', { what, ...about })).payload);

/** Fetches the body of a message or an answer. */
export const revealBody = (what, about) => async () =>
  laidOut((await api.post('api/reveal', { what, ...about })).body);

/** Cookies: their names, and their values as the server masks them. */
export function cookies(given) {
  if (!given?.length) return null;
  return h(
    'ul.cookies',
    given.map(({ name, value }) => h('li', h('code', name), ' ', h('span.masked', value))),
  );
}

/** A button that acts, once at a time, with its failure told. It is never disabled, so it keeps the focus. */
export function button(text, act, kind = '') {
  let acts = false;
  return h(
    'button',
    {
      type: 'button',
      class: kind,
      onclick: async () => {
        if (acts) return;
        acts = true;
        try {
          await act();
        } catch (error) {
          tell(error.message, true);
        } finally {
          acts = false;
        }
      },
    },
    text,
  );
}

/** A size that is only worth a word if there is one. */
export const size = (number) => (number ? bytes(number) : '0');
