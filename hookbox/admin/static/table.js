// A table that keeps its rows: what has not changed is not touched, so focus and selection stay. In a narrow place
// each row becomes a card (parts.css).

import { add, h } from './dom.js';

const COLUMN = 90; // pixels that a column needs; with less, rows become cards

/**
 * A table of things.
 *
 * @param caption what it lists, for those who do not see it
 * @param columns `{name, cell(item), kind}`; kind is a class, such as `number`, `main`, `wide`
 * @param key what tells one thing from another
 * @param mark class of a row, or an empty string
 */
export class Table {
  constructor({ caption, columns, key, mark = () => '' }) {
    Object.assign(this, { columns, key, mark, rows: new Map() });
    const heads = columns.map(({ name, kind = '' }) =>
      h('th', { scope: 'col', role: 'columnheader', class: kind }, name),
    );
    this.body = h('tbody', { role: 'rowgroup' });
    this.element = h(
      'div.table',
      h(
        'table',
        { role: 'table' },
        h('caption.unseen', caption),
        h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)),
        this.body,
      ),
    );
    const least = columns.length * COLUMN;
    new ResizeObserver(([{ contentRect }]) =>
      this.element.classList.toggle('cards', contentRect.width < least),
    ).observe(this.element);
  }

  /** Show these, in this order, and no others. */
  show(items) {
    const wanted = new Set(items.map(this.key));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    let before = this.body.firstChild;
    for (const item of items) {
      const { element } = this.put(item);
      if (element === before) before = before.nextSibling;
      else this.body.insertBefore(element, before);
    }
  }

  /** Put one more on top, marked as new. */
  prepend(item) {
    const { element } = this.put(item);
    element.classList.add('fresh');
    this.body.prepend(element);
  }

  /** Forget the oldest ones, at the bottom. */
  keep(most) {
    for (const [key, row] of this.rows) {
      if (this.rows.size <= most) return;
      if (row.element !== this.body.lastChild) continue;
      row.element.remove();
      this.rows.delete(key);
    }
  }

  get size() {
    return this.rows.size;
  }

  put(item) {
    const key = this.key(item),
      known = this.rows.get(key),
      text = JSON.stringify(item);
    if (known && known.text === text) return known;
    const row = known ?? { element: h('tr', { role: 'row' }) };
    row.text = text;
    row.element.className = this.mark(item);
    const cells = this.columns.map((column) => cell(column, item));
    if (known) cells.forEach((next, at) => renew(row.element.children[at], next));
    else add(row.element, cells);
    this.rows.set(key, row);
    return row;
  }
}

function cell({ name, cell, kind = '' }, item) {
  const element = add(h('td', { role: 'cell', class: kind, 'data-name': name }), [cell(item)]);
  if (element.textContent === '–') element.classList.add('none');
  return element;
}

function renew(old, next) {
  if (old.isEqualNode(next) || old.querySelector('.opened')) return; // what somebody opened stays open
  old.className = next.className;
  old.replaceChildren(...next.childNodes);
}

/** A list of names and values. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h(
    'dl.facts',
    shown.map(([name, value]) => h('div', h('dt', name), add(h('dd'), [value]))),
  );
}

/** What to show where there is nothing: what it would be, and how to come by it. */
export function empty(title, hint) {
  return h('div.empty', h('p', h('b', title)), hint && h('p', hint));
}

/** A part of a page with a heading, and buttons beside it. */
export function part(title, buttons, ...children) {
  return h('section.part', h('div.head', h('h2', title), h('div.buttons', buttons)), children);
}
