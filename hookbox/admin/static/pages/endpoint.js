// One endpoint: what it wants, how it stands, what is owed to it.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { count, json, lasting, when } from '../format.js';
import { tell } from '../notices.js';
import { address, go } from '../router.js';
import { Table, empty, facts, part } from '../table.js';
import { button, code, several, state } from '../values.js';
import { COLUMNS, replay } from './deliveries.js';
import { showSecret } from './endpoints.js';

export function open({ main, parts: [id], signal, live, title }) {
  title(`Endpoint ${id}`);
  const path = `api/v1/endpoints/${api.path(id)}`;
  const head = h('div'),
    about = h('div'),
    deliveries = h('div');
  const table = new Table({
    caption: 'Deliveries',
    columns: COLUMNS.filter(({ name }) => name !== 'To'),
    key: (item) => item.id,
  });
  main.append(
    h('p.trail', h('a', { href: address('endpoints') }, 'Endpoints')),
    head,
    about,
    part(
      'Last deliveries',
      h('a.button', { href: address('deliveries', { endpoint: id }) }, 'All of them'),
      deliveries,
    ),
  );
  const reload = atMost(1000, async () => {
    if (signal.aborted) return;
    try {
      const [item, found] = await Promise.all([
        api.get(path, {}, signal),
        api.get('api/v1/deliveries', { endpoint: id, limit: 20 }, signal),
      ]);
      fill(head, heading(item, path, reload));
      fill(about, aboutIt(item));
      table.show(found.deliveries);
      const shown = found.deliveries.length
        ? table.element
        : empty('None yet.', 'Send a test, or publish on one of its topics.');
      if (deliveries.firstChild !== shown) deliveries.replaceChildren(shown);
    } catch (error) {
      if (error.name === 'AbortError') return;
      fill(
        head,
        h('h1', 'Endpoint ', h('code', id)),
        error.status === 404
          ? empty('There is no such endpoint (any more).')
          : h('p.problem', { role: 'alert' }, error.message),
      );
      fill(about);
    }
  });
  reload();
  live.listen('deliveries', reload, signal, reload);
}

function heading(item, path, reload) {
  const act =
    (verb, parameters = {}) =>
    async () => {
      await api.post(`${path}/${verb}`, parameters);
      reload();
    };
  const test = async () => go(['deliveries', (await api.post(`${path}/test`)).id]);
  const held = item.owed?.held > 0;
  return h(
    'div.head',
    h('h1', 'Endpoint ', state(item.state)),
    h(
      'div.buttons',
      button('Send a test', test),
      button('Replay a topic…', () =>
        replay(item.topics.find((topic) => !topic.includes('*')) ?? '', item.id, reload),
      ),
      item.state === 'enabled' ? button('Pause', act('pause')) : button('Enable', act('enable'), 'primary'),
      item.state !== 'enabled' &&
        held &&
        button('Enable, discard what is held', () => discard(item, act), 'danger quiet'),
      item.kind === 'registered' && button('New secret', () => rotate(path, reload)),
      button('Delete', () => drop(item, path), 'danger quiet'),
    ),
  );
}

function aboutIt(item) {
  const owed = Object.entries(item.owed ?? {}).filter(([, number]) => number);
  return facts([
    ['URL', h('code', item.url)],
    ['Topics', several(item.topics.map((topic) => h('code', topic)))],
    ['Filter', item.filter && code(json(item.filter), 'filter')],
    [
      'Owed',
      owed.length
        ? owed.map(([word, number]) => `${count(number)} ${word.replace('_', ' ')}`).join(', ')
        : 'nothing',
    ],
    ['Reason', item.reason],
    ['Failing since', item.failing_since && when(item.failing_since)],
    ['Failures in a row', item.failures ? count(item.failures) : null],
    ['Ordered', item.ordered ? 'yes' : 'no'],
    ['Blocks at most', item.block_max && lasting(item.block_max)],
    ['Rate', item.rate],
    ['Timeout', item.timeout && lasting(item.timeout)],
    [
      'Secrets',
      item.secrets?.length
        ? item.secrets.map(({ valid_until }) => [
            h('code.masked', 'whsec_***'),
            valid_until && [' until ', when(valid_until)],
            ' ',
          ])
        : 'none: not signed',
    ],
    ['Headers', Object.keys(item.headers ?? {}).length ? code(json(item.headers), 'headers') : null],
    ['Errback', item.errback],
    ['Description', item.description],
    ['Tag', item.tag],
    ['Created', when(item.created)],
    ['Id', h('code', item.id)],
  ]);
}

function discard(item, act) {
  return ask({
    title: 'Discard what is held?',
    text: `${count(item.owed.held)} deliveries are cancelled; then the endpoint gets what comes from now on.`,
    action: 'Discard and enable',
    danger: true,
    act: act('enable', { discard: true }),
  });
}

async function rotate(path, reload) {
  const made = await ask({
    title: 'A new secret',
    text: 'Deliveries are signed with the old one too for as long as you say.',
    fields: [
      {
        name: 'hours',
        label: 'Hours that the old one stays valid',
        type: 'number',
        min: 0,
        max: 720,
        step: 'any',
        value: 24,
        required: true,
      },
    ],
    action: 'Make it',
    act: ({ hours }) => api.post(`${path}/secret`, { grace: hours * 3600 }),
  });
  if (!made) return;
  await showSecret(made);
  reload();
}

function drop(item, path) {
  return ask({
    title: 'Delete this endpoint?',
    text: `${item.url} gets nothing any more. What is owed to it is cancelled.`,
    action: 'Delete it',
    danger: true,
    act: async () => {
      await api.remove(path);
      tell('Deleted.');
      go('endpoints');
    },
  });
}
