// Deliveries to URLs: what is owed, what arrived, what is dead; retry, replay.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { count, seconds, when } from '../format.js';
import { Listing } from '../listing.js';
import { tell } from '../notices.js';
import { Table, part } from '../table.js';
import { button, channelLink, deliveryLink, state } from '../values.js';

const STATES = [
  ['undelivered', 'dead, held, cancelled'],
  ['scheduled,waiting,in_flight', 'under way'],
  ['succeeded', 'succeeded'],
  ['dead', 'dead'],
  ['held', 'held'],
  ['cancelled', 'cancelled'],
];
const FILTERS = [
  { name: 'q', label: 'In URL or tag' },
  { name: 'state', label: 'State', choices: STATES },
  { name: 'topic', label: 'Topic', more: true },
  { name: 'endpoint', label: 'Endpoint', more: true },
];
export const COLUMNS = [
  { name: 'Delivery', kind: 'main id', cell: ({ id }) => deliveryLink(id) },
  { name: 'State', cell: (item) => [state(item.state), item.reason && h('small', ` ${item.reason}`)] },
  { name: 'To', kind: 'wide', cell: ({ url }) => h('span.url', url) },
  { name: 'Topic', cell: ({ topic }) => (topic ? channelLink(topic) : '–') },
  { name: 'Attempts', kind: 'number', cell: ({ attempts }) => count(attempts) },
  { name: 'Last', kind: 'number', cell: ({ last_status }) => last_status ?? '–' },
  { name: 'Created', cell: ({ created }) => when(created) },
  { name: 'Due', cell: ({ due }) => (due ? when(due) : '–') },
];

const DAY = 86400;

/** A page of `/api/v1` as listings take it. */
export const pageOf = (name, path) => async (query, cursor, signal) => {
  const told = await api.get(`api/v1/${path}`, { ...query, cursor }, signal);
  return { items: told[name], next: told.cursor };
};

export function open({ main, signal, live }) {
  const jobs = new Jobs(signal, live);
  const listing = new Listing({
    name: 'deliveries',
    filters: FILTERS,
    load: pageOf('deliveries', 'deliveries'),
    table: { caption: 'Deliveries, newest first', columns: COLUMNS, key: ({ id }) => id },
    nothing: [
      'No deliveries.',
      'A message that is dispatched to a URL, or published on a topic that an endpoint wants, is owed here until ' +
        'it has arrived. Register an endpoint under Endpoints.',
    ],
    feed: 'deliveries',
    tools: [
      button('Retry many…', () => retryMany(listing.query, () => jobs.reload())),
      button('Replay a topic…', () => replay('', '', () => jobs.reload())),
    ],
    signal,
    live,
  });
  main.append(h('h1', 'Deliveries'), jobs.element, listing.element);
}

function retryMany(query, done) {
  const which = query.state ? '' : ', and that is dead or cancelled,';
  return ask({
    title: 'Try many again',
    text: `Everything that the filter finds${which} gets an attempt, spread over time.`,
    fields: [
      {
        name: 'hours',
        label: 'Created in the last … hours',
        type: 'number',
        min: 0.1,
        step: 'any',
        value: 24,
        required: true,
      },
      {
        name: 'rate',
        label: 'Per second',
        type: 'number',
        min: 0.01,
        max: 1000,
        step: 'any',
        value: 10,
        required: true,
      },
      { name: 'reset', label: 'Begin the schedule anew', type: 'checkbox' },
    ],
    action: 'Try again',
    act: async ({ hours, rate, reset }) => {
      const since = Date.now() / 1000 - hours * 3600;
      const job = await api.post('api/v1/deliveries/retry', { ...query, since, rate: Number(rate), reset });
      tell(`${count(job.count)} deliveries are tried again.`);
      done();
    },
  });
}

/** Ask what is to be replayed, and begin. */
export function replay(topic, endpoint, done) {
  return ask({
    title: 'Replay a topic',
    text: 'What is kept of it is delivered once more, in order, to one endpoint or one URL.',
    fields: [
      { name: 'topic', label: 'Topic', value: topic, required: true },
      { name: 'to', label: 'To the endpoint (ep_…) or URL', value: endpoint, required: true },
      { name: 'from', label: 'From', type: 'datetime-local', value: local(Date.now() / 1000 - DAY) },
      { name: 'until', label: 'Until', type: 'datetime-local', value: local(Date.now() / 1000) },
    ],
    action: 'Replay',
    act: async (given) => {
      const goal = /^https?:/i.test(given.to) ? { url: given.to } : { endpoint: given.to };
      const times = { from: seconds(given.from), to: seconds(given.until) };
      const known = Object.fromEntries(Object.entries(times).filter(([, time]) => time !== null));
      const job = await api.post(`api/v1/topics/${api.path(given.topic)}/replay`, { ...goal, ...known });
      tell(`${count(job.count)} messages are replayed.`);
      done?.();
    },
  });
}

/** A time as an input takes it. */
function local(at) {
  const offset = new Date(at * 1000).getTimezoneOffset() * 60;
  return new Date((Math.ceil(at / 60) * 60 - offset) * 1000).toISOString().slice(0, 16);
}

/** Retries and replays of many: how far they are. */
class Jobs {
  constructor(signal, live) {
    this.element = h('div');
    this.table = new Table({
      caption: 'Jobs',
      key: ({ id }) => id,
      columns: [
        { name: 'Job', kind: 'main', cell: ({ kind }) => kind },
        {
          name: 'State',
          cell: (job) => [state(job.state), job.problem && h('small', ` ${job.problem}`)],
        },
        { name: 'Done', kind: 'number', cell: (job) => `${count(job.done)} of ${count(job.count)}` },
        { name: 'Begun', cell: ({ created }) => when(created) },
        {
          name: '',
          kind: 'act',
          cell: (job) => job.state === 'running' && button('Stop', () => this.stop(job), 'quiet'),
        },
      ],
    });
    this.reload = atMost(1000, async () => {
      try {
        const { jobs } = await api.get('api/v1/jobs', {}, signal);
        const recent = jobs.filter(
          (job) => job.state === 'running' || seconds(job.ended) > Date.now() / 1000 - 600,
        );
        this.table.show(recent);
        if (!recent.length) fill(this.element);
        else if (!this.element.firstChild) fill(this.element, part('Jobs', null, this.table.element));
        if (recent.some((job) => job.state === 'running') && !signal.aborted) setTimeout(this.reload, 1000);
      } catch {
        // the list below says what is wrong
      }
    });
    this.reload();
    live.listen('deliveries', () => this.reload(), signal);
  }

  async stop({ id }) {
    await api.post(`api/v1/jobs/${api.path(id)}/cancel`);
    this.reload();
  }
}
