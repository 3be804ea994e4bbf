// Elements. Whatever is shown goes through here, and becomes text: there is no markup to inject anything into.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make an element: `h('a.quiet', {href: '#/', onclick: act}, 'text', otherElement)`, or `h('b', 'text')`.
 *
 * Attributes that are null, undefined or false are left out; `on…` are listeners. Children that are no elements
 * become text; null, undefined and false are left out.
 */
export function h(what, ...rest) {
  const [name, ...classes] = what.split('.');
  return filled(document.createElement(name), classes, rest);
}

/** The same for SVG. */
export function s(what, ...rest) {
  const [name, ...classes] = what.split('.');
  return filled(document.createElementNS(SVG, name), classes, rest);
}

function filled(element, classes, rest) {
  const given = rest[0]?.constructor === Object;
  const [attributes, children] = given ? [rest[0], rest.slice(1)] : [{}, rest];
  if (classes.length) element.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'class' && !value) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  add(element, children);
  return element;
}

/** Append children, in lists too. */
export function add(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** Put children in the place of those that there are. */
export function fill(element, ...children) {
  element.replaceChildren();
  return add(element, children);
}

/** Set the text of an element, if it is another one. */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export const byId = (id) => document.getElementById(id);

/** Run a function at most once in so many milliseconds: at once, and once more for what came meanwhile. */
export function atMost(milliseconds, act) {
  let timer = null,
    again = false;
  const run = () => {
    again = false;
    act();
    timer = setTimeout(() => {
      timer = null;
      if (again) run();
    }, milliseconds);
  };
  return () => {
    if (timer === null) run();
    else again = true;
  };
}
