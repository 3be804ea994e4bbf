// The console: its frame, and which page is in it.

import * as api from './api.js';
import { byId, fill, h, say } from './dom.js';
import { keepTime } from './format.js';
import { icon } from './icons.js';
import * as keys from './keys.js';
import { Live } from './live.js';
import { tell } from './notices.js';
import { address, here } from './router.js';
import { empty } from './table.js';
import * as channel from './pages/channel.js';
import * as channels from './pages/channels.js';
import * as connection from './pages/connection.js';
import * as connections from './pages/connections.js';
import * as deliveries from './pages/deliveries.js';
import * as delivery from './pages/delivery.js';
import * as endpoint from './pages/endpoint.js';
import * as endpoints from './pages/endpoints.js';
import * as overview from './pages/overview.js';
import * as session from './pages/session.js';
import * as settings from './pages/settings.js';
import * as subscriptions from './pages/subscriptions.js';
import * as user from './pages/user.js';
import * as users from './pages/users.js';
import * as webhooks from './pages/webhooks.js';

const BACK = 'hookbox.back'; // where somebody was whose login ended
const PAGES = [
  { path: 'overview', letter: 'o', name: 'Overview', all: overview },
  { path: 'webhooks', letter: 'w', name: 'Hook bench', all: webhooks, one: webhooks },
  { path: 'channels', letter: 'c', name: 'Channels', all: channels, one: channel },
  { path: 'users', letter: 'u', name: 'Users', all: users, one: user },
  { path: 'connections', letter: 'n', name: 'Connections', all: connections, one: connection },
  { path: 'sessions', all: connections, one: session },
  { path: 'deliveries', letter: 'd', name: 'Deliveries', all: deliveries, one: delivery },
  { path: 'endpoints', letter: 'e', name: 'Endpoints', all: endpoints, one: endpoint },
  { path: 'subscriptions', letter: 's', name: 'WebSub', all: subscriptions },
  { path: 'settings', letter: 't', name: 'Settings', all: settings },
];
const LISTED = PAGES.filter(({ letter }) => letter).map((page) => ({ ...page, parts: page.path }));

let live,
  current,
  server = '',
  closing = new AbortController();

/** Show the page of the address; one that is there already may take a change by itself. */
function show(first = false) {
  const { parts, query } = here();
  const [path = 'overview', ...rest] = parts;
  if (current?.path === path && current.moved?.(rest, query)) return;
  closing.abort();
  closing = new AbortController();
  const page = PAGES.find((each) => each.path === path);
  const { open } = (rest.length ? page?.one : page?.all) ?? { open: lost };
  const main = fill(byId('main'));
  main.className = `page-${page ? path : 'lost'}`;
  const title = (text) => (document.title = `${text} · Hookbox ${server}`);
  title(page?.name ?? 'Hookbox');
  for (const link of document.querySelectorAll('#pages a')) {
    if (link.dataset.path === (path === 'sessions' ? 'connections' : path))
      link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  byId('side').hidePopover();
  const moved = open({ main, parts: rest, query, signal: closing.signal, live, title });
  current = { path, moved };
  if (!first) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

function lost({ main }) {
  main.append(
    h('h1', 'Nothing here'),
    empty('There is no such page.', h('a', { href: '#/' }, 'To the overview')),
  );
}

function showLive(state, cuts, reason) {
  const line = byId('live');
  line.dataset.state = state;
  say(line, state === 'ended' ? 'not live' : state);
  line.title = reason?.reason ?? '';
  // this tells whether the login has ended
  if (state === 'reconnecting' || state === 'ended') api.session().catch(() => {});
}

/** The login is over: say so, and where to go. */
function over() {
  if (!byId('over').hidden) return;
  sessionStorage.setItem(BACK, location.hash);
  closing.abort();
  live?.end();
  const link = h(
    'a.button.primary',
    { href: './', onclick: () => setTimeout(() => location.reload()) },
    'Log in again',
  );
  fill(
    byId('over'),
    h('p', 'Your login has ended. What you see is no longer kept up to date.'),
    link,
  ).hidden = false;
}

function showFrame() {
  fill(byId('menu'), icon('menu'));
  fill(
    byId('pages'),
    LISTED.map(({ path, letter, name }) =>
      h(
        'li',
        h(
          'a',
          { href: address(path), 'data-path': path, 'aria-keyshortcuts': `g ${letter}` },
          icon(path),
          h('span', name),
          h('kbd', { 'aria-hidden': 'true' }, `g ${letter}`),
        ),
      ),
    ),
  );
  fill(
    byId('tools'),
    tool('keys', 'Keys', () => keys.showKeys(LISTED)),
    tool('theme', 'Light or dark', changeTheme),
    tool('leave', 'Log out', leave),
  );
}

function tool(drawing, label, onclick) {
  return h(
    'button.icon-button',
    { type: 'button', 'aria-label': label, title: label, onclick },
    icon(drawing),
  );
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  localStorage.setItem('hookbox.theme', root.dataset.theme);
}

async function leave() {
  try {
    await api.post('logout');
    location.replace('./');
  } catch (error) {
    tell(error.message, true);
  }
}

async function start() {
  api.onEnd(over);
  showFrame();
  keepTime();
  const about = await api.session();
  say(byId('version'), about.version);
  server = about.server;
  const back = sessionStorage.getItem(BACK);
  sessionStorage.removeItem(BACK);
  if (back && !location.hash) history.replaceState(null, '', back);
  live = new Live(new URL('.', location.href).href, showLive);
  keys.listen(LISTED);
  window.addEventListener('hashchange', () => show());
  show(true);
}

start().catch((error) => fill(byId('main'), h('p.problem', { role: 'alert' }, error.message)));
