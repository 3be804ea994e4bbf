// Questions that are put before something happens.

import { fill, h } from './dom.js';

/**
 * Ask for confirmation or for values, and act; resolves to what the act gave, or undefined if it was called off.
 *
 * A failure is shown in the dialog, which stays, so that nothing that was typed is lost.
 *
 * @param title what is about to happen
 * @param text what follows from it
 * @param fields `{name, label, value, type, help, choices, rows, required}`
 * @param action the word on the button
 * @param danger whether something is ended or destroyed
 * @param act is given the values by name
 */
export function ask({ title, text = '', fields = [], action, danger = false, act }) {
  const inputs = new Map(fields.map((about) => [about.name, field(about)]));
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const button = h(danger ? 'button.danger' : 'button.primary', { type: 'submit' }, action);
  const dialog = h('dialog.ask', { 'aria-labelledby': 'ask-title' });
  let outcome;
  const form = h('form', {
    method: 'dialog',
    onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        outcome = (await act(values(inputs))) ?? true;
        dialog.close();
      } catch (error) {
        fill(problem, error.message).hidden = false;
      } finally {
        button.disabled = false;
      }
    },
  });
  fill(
    form,
    h('h2', { id: 'ask-title' }, title),
    text && h('p', text),
    [...inputs.values()].map(({ element }) => element),
    problem,
    h('div.buttons', h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), button),
  );
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  if (danger && !fields.length) form.querySelector('.buttons button').focus();
  return new Promise((resolve) =>
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(outcome);
    }),
  );
}

/** A labelled input; `element` is what to show, `value()` what it holds. */
export function field({
  name,
  label,
  value = '',
  type = 'text',
  help = '',
  choices = null,
  rows = 0,
  ...more
}) {
  const id = `field-${name}`;
  const about = help ? `${id}-help` : null;
  const common = { id, name, 'aria-describedby': about, autocomplete: 'off', spellcheck: 'false', ...more };
  let input;
  if (choices) {
    const options = choices.map((choice) => {
      const [word, shown] = Array.isArray(choice) ? choice : [choice, choice];
      return h('option', { value: word, selected: word === value }, shown);
    });
    input = h('select', common, options);
  } else if (rows) {
    input = h('textarea', { ...common, rows, value });
  } else if (type === 'checkbox') {
    input = h('input', { ...common, type });
    input.checked = Boolean(value);
  } else {
    input = h('input', { ...common, type, value });
  }
  const element =
    type === 'checkbox'
      ? h('div.field.check', input, h('label', { for: id }, label))
      : h('div.field', h('label', { for: id }, label), input);
  if (help) element.append(h('small', { id: about }, help));
  return { element, input, value: () => (type === 'checkbox' ? input.checked : input.value) };
}

function values(inputs) {
  return Object.fromEntries([...inputs].map(([name, { value }]) => [name, value()]));
}

/** JSON that somebody typed. */
export function readJson(text, otherwise) {
  if (!text.trim() && otherwise !== undefined) return otherwise;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('This is not JSON. Text needs double quotes: "hello"');
  }
}
