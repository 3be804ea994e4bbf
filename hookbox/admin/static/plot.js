// Lines over time, drawn as SVG: an axis with its unit, a readout for the pointer and for the arrow keys, and a
// sentence for those who do not see it.

import { fill, h, s, say } from './dom.js';

const HEIGHT = 132,
  LEFT = 52,
  RIGHT = 8,
  TOP = 8,
  BOTTOM = 20;
const HOUR = 3600,
  SHORTEST = 300;
const TIME_STEPS = [60, 120, 300, 600, 900];

/** The smallest of 1, 2, 5 times a power of ten (or of two, for bytes) that is not below a number. */
export function niceStep(least, binary = false) {
  const unit = binary ? 1024 ** Math.max(0, Math.floor(Math.log(least) / Math.log(1024))) : 1;
  const power = 10 ** Math.floor(Math.log10(least / unit));
  return [1, 2, 5, 10].map((factor) => factor * power * unit).find((step) => step >= least * 0.999999);
}

/**
 * A plot.
 *
 * @param title what it shows
 * @param lines `{name, column}`; the first is the thick one
 * @param shown a value as text, with its unit
 * @param binary whether it counts bytes
 */
export class Plot {
  constructor({ title, lines, shown, binary = false }) {
    Object.assign(this, { title, lines, shown, binary, rows: [], at: null, width: 0 });
    this.svg = s('svg', { 'aria-hidden': 'true', height: HEIGHT });
    this.readout = h('output.readout', { 'aria-live': 'polite' });
    this.legend = h('span.legend', lines.length > 1 && lines.map(({ name }, n) => h(`span.line${n}`, name)));
    this.area = h('div.area', { tabindex: 0, role: 'group', 'aria-roledescription': 'plot' }, this.svg);
    this.element = h('figure.plot', h('figcaption', h('b', title), this.legend, this.readout), this.area);
    this.area.addEventListener('pointermove', (event) => this.point(event.offsetX));
    this.area.addEventListener('pointerleave', () => this.pick(null));
    this.area.addEventListener('blur', () => this.pick(null));
    this.area.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(([{ contentRect }]) => this.resize(contentRect.width)).observe(this.area);
  }

  /** Show samples, `{at, column: value, …}`, oldest first. */
  show(rows) {
    this.rows = rows;
    this.draw();
  }

  resize(width) {
    if (Math.abs(width - this.width) < 1) return;
    this.width = width;
    this.draw();
  }

  draw() {
    const { rows, width } = this;
    this.area.setAttribute('aria-label', this.summary());
    if (!this.at) this.showLast();
    if (width < 80) return;
    const last = rows.at(-1)?.at ?? 0,
      first = rows[0]?.at ?? last;
    const span = Math.min(HOUR, Math.max(SHORTEST, last - first));
    const values = this.lines.flatMap(({ column }) => rows.map((row) => row[column])).filter(Number.isFinite);
    const most = Math.max(0, ...values);
    const step = niceStep((most || 3) / 3, this.binary);
    const top = step * Math.max(1, Math.ceil(most / step - 1e-9));
    this.x = (at) => LEFT + ((at - last + span) / span) * (width - LEFT - RIGHT);
    this.y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    this.svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute('width', width);
    this.cursor = s('g.cursor');
    fill(this.svg, this.levels(step, top), rows.length && this.times(last, span), this.paths(), this.cursor);
    if (this.at) this.mark();
  }

  levels(step, top) {
    const made = [];
    for (let value = 0; value <= top + step / 2; value += step) {
      const y = this.y(value);
      made.push(s('line.grid', { x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }));
      made.push(s('text.level', { x: LEFT - 6, y: y + 4 }, this.shown(value)));
    }
    return made;
  }

  times(last, span) {
    const room = Math.max(1, Math.floor((this.width - LEFT) / 70));
    const step =
      TIME_STEPS.find((each) => span / each <= room) ?? TIME_STEPS.at(-1) * Math.ceil(span / 900 / room);
    const offset = new Date(last * 1000).getTimezoneOffset() * 60,
      made = [];
    for (let at = Math.ceil((last - span - offset) / step) * step + offset; at <= last; at += step) {
      if (this.x(at) > this.width - 24) continue;
      made.push(s('text.time', { x: this.x(at), y: HEIGHT - 5 }, hour(at, false)));
    }
    return made;
  }

  paths() {
    return this.lines
      .map(({ column }, n) => {
        const runs = [[]]; // a sample without a value cuts the line
        for (const row of this.rows) {
          if (!Number.isFinite(row[column])) runs.push([]);
          else runs.at(-1).push(`${this.x(row.at).toFixed(1)} ${this.y(row[column]).toFixed(1)}`);
        }
        const lines = runs.filter((run) => run.length > 1).map((run) => `M${run.join('L')}`);
        const dots = runs.filter((run) => run.length === 1).map(([place]) => `M${place}h.01`);
        return [s(`path.line${n}`, { d: lines.join('') }), s(`path.dots.line${n}`, { d: dots.join('') })];
      })
      .reverse();
  }

  point(offset) {
    if (!this.x || !this.rows.length) return;
    const near = (row) => Math.abs(this.x(row.at) - offset);
    this.pick(this.rows.reduce((best, row) => (near(row) < near(best) ? row : best)));
  }

  key(event) {
    const last = this.rows.length - 1;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60, Home: -last, End: last };
    if (event.key === 'Escape' && this.at) return this.pick(null);
    if (!(event.key in steps) || last < 0) return;
    event.preventDefault();
    const now = this.at ? this.rows.indexOf(this.at) : last + (steps[event.key] < 0 ? 1 : 0);
    this.pick(this.rows[Math.min(last, Math.max(0, now + steps[event.key]))]);
  }

  pick(row) {
    this.at = row;
    if (row) this.mark();
    else {
      this.cursor?.replaceChildren();
      this.showLast();
    }
  }

  mark() {
    const x = this.x(this.at.at);
    const dots = this.lines.filter(({ column }) => Number.isFinite(this.at[column]));
    fill(
      this.cursor,
      s('line', { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
      dots.map(({ column }) => s('circle', { cx: x, cy: this.y(this.at[column]), r: 3 })),
      s(
        'text',
        { x: Math.min(this.width - 30, Math.max(LEFT + 26, x)), y: HEIGHT - 5 },
        hour(this.at.at, true),
      ),
    );
    fill(this.readout, h('span.unseen', `${hour(this.at.at, true)} `), this.values(this.at));
  }

  showLast() {
    const row = this.rows.at(-1);
    say(this.readout, row ? this.values(row) : 'no samples yet');
  }

  values(row) {
    return this.lines.map(({ column }) => this.shown(row[column])).join(' / ');
  }

  summary() {
    const told = this.lines.map(({ name, column }) => {
      const values = this.rows.map((row) => row[column]).filter(Number.isFinite);
      if (!values.length) return `${name}: nothing yet`;
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return `${name}: now ${this.shown(values.at(-1))}, between ${this.shown(least)} and ${this.shown(most)}`;
    });
    return `${this.title}. ${told.join('; ')}. Arrow keys read single samples.`;
  }
}

function hour(at, exact) {
  const date = new Date(at * 1000).toLocaleTimeString('en-GB');
  return exact ? date : date.slice(0, 5);
}
