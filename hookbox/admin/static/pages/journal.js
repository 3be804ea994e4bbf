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
    this.element = h('div', {}, this.list);
    this.items = [];
  }

  /** Load all that is remembered. */
  async load(query, signal) {
    const { items } = await api.get('api/journal', query, signal);
    this.items = [];
    fill(this.list);
    items.forEach((item) => this.add(item));
    if (!items.length) fill(this.list, h('li.nothing', {}, empty('Nothing is remembered.', 'What happens from now on appears here.')));
  }

  /** One more line. */
  add(item) {
    if (item.left_out) return this.list.append(h('li.gap', {}, `${item.left_out} lines left out`));
    const last = this.items.at(-1);
    this.list.querySelector('.nothing')?.remove();
    if (last && item.at - last.at >= GAP) this.list.append(h('li.gap', {}, took(item.at - last.at)));
    this.items.push(item);
    this.list.append(line(item, this.many));
  }
}

function line({ at, kind, connection, about = {}, webhook }, many) {
  const hook = typeof webhook === 'object' && webhook ? webhook : null;
  return h(
    hook ? 'li.hook' : 'li', {},
    clock(at),
    many && connectionLink(connection),
    hook ? h('b', {}, hook.action) : badge(kind, COLOURS[kind]),
    h('span.what', {}, hook ? ofWebhook(hook) : webhook ? h('a', { href: address(['webhooks', webhook]) }, 'its webhook') : null, hook ? null : told(about)),
  );
}

function ofWebhook({ id, verdict: word, why, took: seconds }) {
  return [h('a', { href: address(['webhooks', id]) }, 'webhook'), ' ', verdict(word), ' ', took(seconds), why && h('span.why', {}, why)];
}

/** What else there is to say, each word with its value. */
function told(about) {
  return Object.entries(about).filter(([, value]) => value !== '' && value !== null).map(([name, value]) => [
    ' ', h('span.soft', {}, name.replaceAll('_', ' ')), ' ',
    name === 'channel' && typeof value === 'string' ? channelLink(value) : h('span', {}, typeof value === 'string' ? value : JSON.stringify(value)),
  ]);
}
