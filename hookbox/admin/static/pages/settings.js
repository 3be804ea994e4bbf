// All settings, by group. What may be changed while the server runs has an input; several changes go together.

import * as api from '../api.js';
import { field } from '../dialog.js';
import { fill, h } from '../dom.js';
import { tell } from '../notices.js';
import { empty } from '../table.js';
import { badge } from '../values.js';

async function load(signal) {
  const told = await api.get('api/settings', {}, signal);
  return told.items;
}

const WHICH = [
  ['', 'all'],
  ['live', 'can be changed here'],
  ['set', 'not the default'],
];

export function open({ main, signal }) {
  const rows = new Map(),
    groups = h('div'),
    note = h('div');
  const filter = field({ name: 'filter-q', label: 'Search', type: 'search', 'data-filter': true });
  const only = field({ name: 'filter-which', label: 'Which', choices: WHICH });
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const undo = h('button', { type: 'button', onclick: () => undoAll() }, 'Undo');
  const pending = h('span', { role: 'status' });
  const bar = h(
    'div.save-bar',
    { hidden: true },
    problem,
    h('div.buttons', pending, undo, h('button.primary', 'Apply')),
  );
  const form = h('form.settings', { oninput: () => compare(), onsubmit: save }, groups, bar);
  const filters = h(
    'form.filters',
    {
      role: 'search',
      'aria-label': 'Filter settings',
      onsubmit: (event) => event.preventDefault(),
      oninput: () => narrow(),
    },
    filter.element,
    only.element,
  );
  main.append(
    h('h1', 'Settings'),
    h(
      'p.soft',
      'A change holds from now until the server ends or reloads its configuration: write into the file what ' +
        'is to last.',
    ),
    filters,
    note,
    form,
  );

  function show(items) {
    rows.clear();
    fill(
      groups,
      [...grouped(items)].map(([group, members]) =>
        h(
          'section.part.group',
          h('h2', group),
          members.map((item) => {
            const row = new Row(item);
            rows.set(item.name, row);
            return row.element;
          }),
        ),
      ),
    );
    narrow();
    compare();
  }

  function narrow() {
    const text = filter.value().trim().toLowerCase();
    let some = false;
    for (const row of rows.values()) {
      row.element.hidden = !row.fits(text, only.value());
      some ||= !row.element.hidden;
    }
    for (const group of groups.children) group.hidden = !group.querySelector('.setting:not([hidden])');
    fill(note, !some && rows.size ? empty('No settings match.') : null);
  }

  function undoAll() {
    rows.forEach((row) => row.reset());
    compare();
  }

  const edited = () => [...rows.values()].filter((row) => row.changed());

  function compare() {
    rows.forEach((row) => row.element.classList.toggle('changed', row.changed()));
    const number = edited().length;
    bar.hidden = !number;
    fill(pending, `${number} ${number === 1 ? 'change' : 'changes'}`);
    if (!number) problem.hidden = true;
  }

  async function save(event) {
    event.preventDefault();
    try {
      const changes = Object.fromEntries(edited().map((row) => [row.item.name, row.read()]));
      const { changed } = await api.post('api/settings', { changes });
      tell(`Changed: ${changed.join(', ') || 'nothing'}.`);
      problem.hidden = true;
      show(await load(signal));
    } catch (error) {
      fill(problem, error.message).hidden = false;
    }
  }

  load(signal)
    .then(show)
    .catch((error) => {
      if (error.name !== 'AbortError') fill(note, h('p.problem', { role: 'alert' }, error.message));
    });
}

function grouped(items) {
  const groups = new Map();
  for (const item of items) groups.set(item.group, [...(groups.get(item.group) ?? []), item]);
  return groups;
}

/** One setting. */
class Row {
  constructor(item) {
    this.item = item;
    const help = [item.help, range(item)].filter(Boolean).join('; ');
    if (item.live) {
      this.field = inputOf(item, help);
      this.before = this.field.value();
    }
    const name = h('span.label', item.name);
    const shown = item.live
      ? this.field.element
      : h('div.field', name, h('output', written(item.value) || '–'), h('small', help));
    const notes = [
      !item.live && badge('needs a restart'),
      this.differs() && badge('set', 'set'),
      this.differs() && !item.secret && h('small', `default: ${written(item.default) || 'empty'}`),
    ];
    this.element = h('div.setting', shown, h('div.notes', notes));
  }

  differs() {
    const { item } = this;
    return item.secret
      ? Boolean(item.value?.length)
      : JSON.stringify(item.value) !== JSON.stringify(item.default);
  }

  changed() {
    return Boolean(this.field) && this.field.value() !== this.before;
  }

  reset() {
    const { field, before } = this;
    if (!field) return;
    if (field.input.type === 'checkbox') field.input.checked = before;
    else field.input.value = before;
  }

  /** The value as the server takes it. */
  read() {
    const { item, field } = this,
      given = field.value();
    if (item.kind === 'bool') return given;
    if (isList(item))
      return given
        .split('\n')
        .map((each) => each.trim())
        .filter(Boolean);
    const number = given.trim() === '' ? NaN : Number(given);
    return isNumber(item) && Number.isFinite(number) ? number : given; // the server reads "64KiB" and "5m", too
  }

  fits(text, which) {
    const { name, help, group } = this.item;
    const wanted = { live: this.item.live, set: this.differs() }[which] ?? true;
    return (wanted || this.changed()) && `${name} ${help} ${group}`.toLowerCase().includes(text);
  }
}

function inputOf(item, help) {
  const common = { name: item.name, label: item.name, help };
  const placeholder = item.secret ? (item.value?.length ? 'set; type to replace it' : 'not set') : null;
  if (item.kind === 'bool') return field({ ...common, type: 'checkbox', value: item.value });
  if (item.choices.length) return field({ ...common, choices: item.choices, value: item.value });
  if (isList(item))
    return field({
      ...common,
      placeholder,
      rows: Math.max(1, item.value.length),
      value: item.secret ? '' : item.value.join('\n'),
    });
  if (item.secret) return field({ ...common, placeholder, type: 'password', autocomplete: 'new-password' });
  return field({ ...common, value: String(item.value ?? '') });
}

const isList = ({ kind }) => kind.startsWith('tuple');
const isNumber = ({ kind }) => /^(int|float)/.test(kind);

function range({ unit, low, high, kind }) {
  const words = [unit && `in ${unit}`];
  if (Number.isFinite(low) && Number.isFinite(high)) words.push(`${low} to ${high}`);
  else if (Number.isFinite(low)) words.push(`${low} or more`);
  if (kind.startsWith('tuple')) words.push('one in a line');
  return words.filter(Boolean).join(', ');
}

function written(value) {
  if (Array.isArray(value)) return value.join(', ');
  return value === null || value === undefined ? '' : String(value);
}
