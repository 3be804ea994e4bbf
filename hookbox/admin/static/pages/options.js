// The options of a channel or a user, each with an input of its type. What is being edited is left alone by news.

import { field, readJson } from '../dialog.js';
import { fill, h } from '../dom.js';
import { empty } from '../table.js';

/** A form of options; `save` is given those that were changed, and rejects if they are refused. */
export class Options {
  constructor(save) {
    this.fields = new Map();
    this.problem = h('p.problem', { role: 'alert', hidden: true });
    this.saving = h('button.primary', { disabled: true }, 'Apply');
    this.undo = h('button', { type: 'button', hidden: true, onclick: () => this.reset() }, 'Undo');
    this.list = h('div.option-list');
    this.element = h(
      'form.options',
      {
        oninput: () => this.compare(),
        onsubmit: async (event) => {
          event.preventDefault();
          try {
            const changes = this.changes();
            if (!Object.keys(changes).length) return;
            await save(changes);
            this.problem.hidden = true;
            for (const [name, value] of Object.entries(changes)) this.fields.get(name).value = value;
            this.compare();
          } catch (error) {
            fill(this.problem, error.message).hidden = false;
          }
        },
      },
      this.list,
      this.problem,
      h('div.buttons', this.undo, this.saving),
    );
  }

  /** Show options as they are now: `{name: value}` and `[{name, type, default, help}]`. */
  show(options, about) {
    if (!about?.length) return fill(this.list, empty('There are no options.'));
    if (!this.fields.size)
      fill(
        this.list,
        about.map((each) => this.make(each, options[each.name])),
      );
    for (const { name } of about) {
      const known = this.fields.get(name);
      const edited = !same(known.read(), known.value);
      known.value = options[name];
      if (!edited) known.write(options[name]);
    }
    this.compare();
  }

  make({ name, type, help = '', default: usual }, value) {
    const note = [help, usual === undefined ? '' : `Default: ${JSON.stringify(usual)}.`]
      .filter(Boolean)
      .join(' ');
    const [made, read, write] = inputOf(type, { name: `option-${name}`, label: name, help: note });
    this.fields.set(name, { read, write, value, element: made.element });
    write(value);
    return made.element;
  }

  changes() {
    const changed = [...this.fields].filter(([, { read, value }]) => !same(read(), value));
    return Object.fromEntries(changed.map(([name, { read }]) => [name, read(true)]));
  }

  compare() {
    let some = false;
    for (const { read, value, element } of this.fields.values()) {
      const changed = !same(read(), value);
      element.classList.toggle('changed', changed);
      some ||= changed;
    }
    this.saving.disabled = !some;
    this.undo.hidden = !some;
  }

  reset() {
    for (const { write, value } of this.fields.values()) write(value);
    this.problem.hidden = true;
    this.compare();
  }
}

/** An input, how to read it (strictly: or throw), and how to write it. */
function inputOf(kind, about) {
  if (kind === 'flag') {
    const made = field({ ...about, type: 'checkbox' });
    return [made, () => made.input.checked, (value) => (made.input.checked = Boolean(value))];
  }
  if (kind === 'count' || kind === 'seconds') {
    const made = field({ ...about, type: 'number', step: 'any', min: 0 });
    const read = () => (made.input.value === '' ? null : Number(made.input.value));
    return [made, read, (value) => (made.input.value = value ?? '')];
  }
  const made = field({ ...about, rows: 1 });
  const read = (strictly) => {
    try {
      return readJson(made.input.value, null);
    } catch (error) {
      if (strictly) throw error;
      return made.input.value;
    }
  };
  return [made, read, (value) => (made.input.value = JSON.stringify(value) ?? '')];
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
