/* Elements of a page. */

export const byId = (id) => document.getElementById(id);

/** Create an element with properties and children, which may be texts. */
export function create(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Set a text only if it changes, so that it is not laid out and announced again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
