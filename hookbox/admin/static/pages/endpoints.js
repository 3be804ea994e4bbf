// Endpoints: URLs that are registered for topics.

import * as api from '../api.js';
import { ask, readJson } from '../dialog.js';
import { fill, h } from '../dom.js';
import { when } from '../format.js';
import { Listing } from '../listing.js';
import { go } from '../router.js';
import { button, code, endpointLink, state } from '../values.js';
import { pageOf } from './deliveries.js';

const COLUMNS = [
  { name: 'Endpoint', kind: 'main id', cell: ({ id }) => endpointLink(id) },
  { name: 'State', cell: (item) => [state(item.state), item.reason && h('small', ` ${item.reason}`)] },
  { name: 'URL', kind: 'wide', cell: ({ url }) => h('span.url', url) },
  { name: 'Topics', kind: 'wide', cell: ({ topics }) => h('span', topics.join(', ')) },
  { name: 'Description', cell: ({ description }) => description || '–' },
  { name: 'Failing since', cell: ({ failing_since }) => when(failing_since) },
];

export function open({ main, signal, live }) {
  const listing = new Listing({
    name: 'endpoints',
    filters: [
      { name: 'state', label: 'State', choices: ['enabled', 'paused', 'disabled'] },
      { name: 'tag', label: 'Tag' },
    ],
    load: pageOf('endpoints', 'endpoints'),
    table: { caption: 'Endpoints', columns: COLUMNS, key: ({ id }) => id },
    nothing: [
      'No endpoints yet.',
      'Register a URL, and every message on its topics is delivered there, signed, until it has arrived.',
    ],
    feed: 'deliveries',
    tools: [button('Register an endpoint', register)],
    signal,
    live,
  });
  main.append(h('h1', 'Endpoints'), listing.element);
}

async function register() {
  const made = await ask({
    title: 'Register an endpoint',
    fields: [
      { name: 'url', label: 'URL', type: 'url', required: true },
      {
        name: 'topics',
        label: 'Topics',
        required: true,
        help: 'patterns, apart by spaces: orders.* news **',
      },
      {
        name: 'filter',
        label: 'Filter',
        rows: 2,
        help: 'JSON that each payload has to fit; may be left empty',
      },
      { name: 'description', label: 'Description' },
      { name: 'ordered', label: 'One at a time, in order', type: 'checkbox' },
    ],
    action: 'Register',
    act: ({ url, topics, filter, description, ordered }) =>
      api.post('api/v1/endpoints', {
        url,
        topics: topics.trim().split(/\s+/),
        filter: readJson(filter, null),
        description,
        ordered,
      }),
  });
  if (!made) return;
  await showSecret(made);
  go(['endpoints', made.id]);
}

/** Show a secret, this once. */
export function showSecret({ secret }) {
  return new Promise((resolve) => {
    const dialog = h('dialog.ask', { 'aria-labelledby': 'secret-title' });
    fill(
      dialog,
      h(
        'form',
        { method: 'dialog' },
        h('h2', { id: 'secret-title' }, 'Its secret'),
        h('p', 'The receiver needs it to verify signatures. It is shown this once: copy it now.'),
        code(secret, 'secret'),
        h('div.buttons', h('button.primary', 'I have it')),
      ),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
