// The life of a connection or a login, line by line, from handshake to goodbye; its webhooks stand in their places.

import * as api from '../api.js';
import { fill, h } from '../dom.js';
import { clock, took } from '../format.js';
import { address } from '../router.js';
import { empty } from '../table.js';
import { badge, channelLink, connectionLink, verdict } from '../values.js';

const GAP = 1; // seconds without anything, that are worth a line
const COLOURS = { refused: 'warn', closed: 'bad', cut: 'bad', opened: 'good', connected: 'good' };

/** A journal that grows. */
export class Journal {
  /** @param manyConnections whether each line says whose it is */
  constructor(manyConnections) {
    this.many = manyConnections;
    this.list = h('ol.journal');
    this.element = h('div', this.list);
    this.items = [];
  }

  /** Load all that is remembered. */
  async load(query, signal) {
    const heard = (this.heard = []); // what comes in before the answer, which may not have it yet
    const { items } = await api.get('api/journal', query, signal);
    const known = new Set(items.map(keyOf));
    const all = [...items, ...heard.filter((item) => !known.has(keyOf(item)))];
    if (heard === this.heard) this.heard = null;
    if (all.length && JSON.stringify(all) === JSON.stringify(this.items)) return;
    this.draw(all);
    if (!all.length)
      fill(
        this.list,
        h('li.nothing', empty('Nothing is remembered.', 'What happens from now on appears here.')),
      );
  }

  /** One more line; a webhook comes at its end, and stands where it began. */
  add(item) {
    if (item.left_out) return this.list.append(h('li.gap', `${item.left_out} lines left out`));
    this.heard?.push(item);
    this.list.querySelector('.nothing')?.remove();
    if (item.at < this.items.at(-1)?.at)
      this.draw([...this.items, item].sort((one, other) => one.at - other.at));
    else this.append(item);
  }

  draw(items) {
    this.items = [];
    fill(this.list);
    items.forEach((item) => this.append(item));
  }

  append(item) {
    const wait = this.items.length ? item.at - this.items.at(-1).at : 0;
    if (wait >= GAP) this.list.append(h('li.gap', took(wait)));
    this.items.push(item);
    this.list.append(line(item, this.many));
  }
}

const keyOf = ({ at, kind, connection, webhook }) => `${at} ${kind} ${connection} ${webhook?.id ?? ''}`;

function line({ at, kind, connection, about = {}, webhook }, many) {
  const hook = typeof webhook === 'object' && webhook ? webhook : null;
  return h(
    hook ? 'li.hook' : 'li',
    clock(at),
    many && connectionLink(connection),
    hook ? h('b', hook.action) : badge(kind, COLOURS[kind]),
    h(
      'span.what',
      hook
        ? ofWebhook(hook)
        : webhook
          ? h('a', { href: address(['webhooks', webhook]) }, 'its webhook')
          : null,
      hook ? null : told(about),
    ),
  );
}

function ofWebhook({ id, verdict: word, why, channel, took: seconds }) {
  return [
    h('a', { href: address(['webhooks', id]) }, 'webhook'),
    ' ',
    verdict(word),
    ' ',
    took(seconds),
    channel && [' ', channelLink(channel)],
    why && h('span.why', why),
  ];
}

const written = (value) =>
  Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value);

/** What else there is to say, each word with its value. */
function told(about) {
  return Object.entries(about)
    .filter(([, value]) => value !== '' && value !== null)
    .map(([name, value]) => [
      ' ',
      h('span.soft', name.replaceAll('_', ' ')),
      ' ',
      name === 'channel' && typeof value === 'string' ? channelLink(value) : h('span', written(value)),
    ]);
}
