// A list with filters, more on request, and what comes in live: the frame of most pages.

import { atMost, fill, h, say } from './dom.js';
import { field } from './dialog.js';
import { count } from './format.js';
import { icon } from './icons.js';
import { here, refine } from './router.js';
import { Table, empty } from './table.js';

const MOST = 500; // rows that a live list keeps
const PAGE = 50; // rows that are shown at first, and that one more request adds
const MOST_AT_ONCE = 200; // rows that one answer may have

/**
 * A listing; it begins to load at once.
 *
 * @param name of the page, for the labels
 * @param filters `{name, label, choices}`; the one called `q` gets the focus from the key `/`
 * @param load given the filters and a cursor, or null, resolves to `{items, total, next}`
 * @param table as Table takes it
 * @param nothing `[title, hint]` while there is nothing at all
 * @param feed the channel that brings news; `accept(payload, filters)` gives the item to show on top, null for
 *   one that is not wanted, or undefined to have the list loaded again
 * @param tools further buttons
 * @param onShow called when rows have come or gone
 */
export class Listing {
  constructor({
    name,
    filters,
    load,
    table,
    nothing,
    feed,
    accept = () => undefined,
    tools = [],
    onShow = () => {},
    signal,
    live,
  }) {
    Object.assign(this, {
      name,
      load,
      nothing,
      accept,
      onShow,
      signal,
      next: null,
      paused: false,
      missed: 0,
      items: [],
    });
    this.table = new Table(table);
    const { query } = here();
    this.fields = filters.map((about) => [about.name, filterField(about, query.get(about.name) ?? '')]);
    this.status = h('span.count', { role: 'status' });
    this.pause = h('button.quiet', {
      type: 'button',
      'aria-pressed': 'false',
      onclick: () => this.hold(!this.paused),
    });
    this.more = h('button', { type: 'button', hidden: true, onclick: () => this.append() }, 'Show more');
    this.note = h('div.note');
    this.form = h(
      'form.filters',
      { role: 'search', 'aria-label': `Filter ${name}`, onsubmit: (event) => event.preventDefault() },
      this.fields.filter(([, { more }]) => !more).map(([, { element }]) => element),
      furtherOf(this.fields),
      h('div.end', this.status, feed && this.pause, tools),
    );
    this.form.addEventListener(
      'input',
      atMost(250, () => this.refilter()),
    );
    this.element = h('div.listing', this.form, this.note, this.table.element, this.more);
    this.reload = atMost(1000, () => this.first());
    this.showPause();
    this.reload();
    if (feed)
      live.listen(
        feed,
        (payload) => this.hear(payload),
        signal,
        () => this.paused || this.reload(),
      );
  }

  /** The filters that are set. */
  get query() {
    return Object.fromEntries(
      this.fields.map(([name, { input }]) => [name, input.value.trim()]).filter(([, v]) => v),
    );
  }

  refilter() {
    if (this.signal.aborted) return;
    this.items = [];
    refine({
      ...Object.fromEntries(here().query),
      ...Object.fromEntries(this.fields.map(([n, f]) => [n, f.input.value.trim()])),
    });
    this.first();
  }

  async first() {
    const asked = (this.asked = Symbol('the last question wins'));
    const heard = (this.heard = []); // what comes in before the answer, which may not have it yet
    await this.fetch(null, Math.min(MOST, Math.ceil(this.items.length / PAGE) * PAGE), (page) => {
      if (asked !== this.asked) return;
      const known = new Set(page.items.map(this.table.key));
      this.items = [...heard.filter((item) => !known.has(this.table.key(item))), ...page.items];
      this.show(page);
    });
    if (asked === this.asked) this.heard = null;
  }

  append() {
    return this.fetch(this.next, PAGE, (page) => {
      this.items = [...this.items, ...page.items];
      this.show(page);
    });
  }

  /** Fetch so many rows, or a page at least, in as many requests as that takes. */
  async fetch(next, wanted, use) {
    if (this.signal.aborted) return;
    try {
      const query = this.query,
        items = [];
      let total;
      do {
        const limit = Math.min(MOST_AT_ONCE, Math.max(PAGE, wanted - items.length));
        const page = await this.load({ ...query, limit }, next, this.signal);
        items.push(...page.items);
        ({ total, next } = page);
      } while (next && items.length < wanted);
      if (!this.signal.aborted) use({ items, total, next });
    } catch (error) {
      if (error.name === 'AbortError') return;
      fill(this.note, h('p.problem', { role: 'alert' }, error.message));
    }
  }

  show({ total, next }) {
    this.next = next ?? null;
    this.total = total;
    this.table.show(this.items);
    this.more.hidden = !this.next;
    this.tell();
  }

  tell() {
    const shown = this.table.size,
      filtered = Object.keys(this.query).length > 0;
    const all = Number.isFinite(this.total) ? Math.max(this.total, shown) : null;
    say(
      this.status,
      all !== null && all > shown
        ? `${count(shown)} of ${count(all)}`
        : `${count(shown)}${this.next ? '+' : ''}`,
    );
    this.table.element.hidden = !shown;
    if (shown) fill(this.note);
    else if (filtered) fill(this.note, empty(`No ${this.name} match.`, clear(this)));
    else fill(this.note, empty(...this.nothing));
    this.onShow();
  }

  hear(payload) {
    if (this.paused) {
      this.missed += payload?.left_out ?? 1;
      return this.showPause();
    }
    if (payload?.left_out) return this.reload();
    const item = this.accept(payload, this.query);
    if (item === undefined) return this.reload();
    if (item === null) return;
    this.items = [
      item,
      ...this.items.filter((other) => this.table.key(other) !== this.table.key(item)),
    ].slice(0, MOST);
    this.heard?.unshift(item);
    this.table.prepend(item);
    this.table.keep(MOST);
    if (Number.isFinite(this.total)) this.total += 1;
    this.tell();
  }

  hold(paused) {
    this.paused = paused;
    if (!paused && this.missed) this.first();
    this.missed = 0;
    this.showPause();
  }

  showPause() {
    this.pause.setAttribute('aria-pressed', String(this.paused));
    const text = this.paused ? `Go on${this.missed ? ` (${count(this.missed)} new)` : ''}` : 'Pause';
    fill(this.pause, icon(this.paused ? 'play' : 'pause'), text);
  }
}

function filterField({ name, label, choices, more }, value) {
  const made = field({
    name: `filter-${name}`,
    label,
    value,
    type: 'search',
    choices: choices && [['', 'any'], ...choices],
    'data-filter': name === 'q' ? true : null,
  });
  made.more = more;
  if (value) made.element.classList.add('set');
  made.input.addEventListener('input', () => made.element.classList.toggle('set', Boolean(made.input.value)));
  return made;
}

/** Filters that are not always wanted; open if one of them is set. */
function furtherOf(fields) {
  const further = fields.filter(([, { more }]) => more);
  if (!further.length) return null;
  const open = further.some(([, { input }]) => input.value);
  return h(
    'details.further',
    { open },
    h('summary', 'More filters'),
    h(
      'div',
      further.map(([, { element }]) => element),
    ),
  );
}

function clear(listing) {
  return h(
    'button',
    {
      type: 'button',
      onclick: () => {
        for (const [, { input, element }] of listing.fields) {
          input.value = '';
          element.classList.remove('set');
        }
        listing.refilter();
      },
    },
    'Clear the filter',
  );
}
