// Builds elements. Text is always set as text, so a name can never become markup.

/**
 * Build an element.
 *
 * `attributes` are set as in HTML and have its names; none is set as a property. `true` writes an empty attribute;
 * `false`, `null` and `undefined` leave it out; a function listens to the event that the name has after "on".
 * Children are nodes, strings, or arrays of them; `false`, `null` and `undefined` are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (!isAbsent(value)) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => !isAbsent(child)));
  return node;
}

const isAbsent = (value) => value === undefined || value === null || value === false;

/** Place an element over a photo. The box is in fractions of the upright photo, 0 to 1. */
export function placeAt(node, { left, top, width, height }) {
  // Through the CSSOM: a style attribute would be refused by the Content-Security-Policy.
  node.style.left = `${left * 100}%`;
  node.style.top = `${top * 100}%`;
  node.style.width = `${width * 100}%`;
  node.style.height = `${height * 100}%`;
  return node;
}

/** Build a table with a row for each pair of a heading and a value. */
export function table(rows) {
  const lines = rows.map(([name, value]) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", { dir: "auto" }, String(value))),
  );
  return h("table", {}, h("tbody", {}, lines));
}

export const personLink = (userId) => `#/person/${encodeURIComponent(userId)}`;
