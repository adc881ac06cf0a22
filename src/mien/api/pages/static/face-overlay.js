// Draws the faces of a recognition over a photo, and words their results.

import { h, personLink, placeAt } from "./dom.js";
import { similarity } from "./format.js";
import { placeLabels } from "./label-placement.js";
import { text } from "./strings.js";

/** Name the person of a face, both candidates of an ambiguous one, or "Unknown". */
export function faceLabel(face) {
  if (face.status === "matched") return face.name;
  if (face.status === "ambiguous") {
    const [best, next] = face.candidates.map((candidate) => candidate.name);
    return next ? text.recognize.either(best, next) : best; // they may have been merged since
  }
  return text.recognize.unknown;
}

/** Build the box of a face, with its number and label, to be put over the photo. */
export function faceBox(face, number) {
  const label = h("span", { class: "tag", dir: "auto" }, faceLabel(face));
  const doubt = face.likelihood === "likely" ? " doubtful" : "";
  const box = h("div", { class: `box ${face.status}${doubt}` }, h("span", { class: "number" }, String(number)), label);
  return placeAt(box, face.bounding_box);
}

/** Place the labels of the boxes over a figure's photo, now and when its size changes. */
export function keepLabelsApart(figure) {
  const place = () => {
    const { width, height } = figure.getBoundingClientRect();
    const boxes = [...figure.querySelectorAll(".box")].filter((box) => box.lastChild.offsetWidth);
    const tags = boxes.map(({ lastChild: tag }) => ({ width: tag.offsetWidth, height: tag.offsetHeight }));
    const faces = boxes.map((box) => rectangle(box));
    placeLabels(faces, tags, { width, height }).forEach(({ left, top }, i) => {
      const tag = boxes[i].lastChild;
      // Relative to the inner edge of the box.
      tag.style.left = `${left - faces[i].left - boxes[i].clientLeft}px`;
      tag.style.top = `${top - faces[i].top - boxes[i].clientTop}px`;
    });
  };
  new ResizeObserver(place).observe(figure);
  return place;
}

const rectangle = (box) => ({
  left: box.offsetLeft,
  top: box.offsetTop,
  width: box.offsetWidth,
  height: box.offsetHeight,
});

/** Highlight both the box and the list entry of a face while the pointer or the focus is on either. */
export function linkHighlights(box, entry) {
  const highlight = (on) => () => {
    for (const node of [box, entry]) node.classList.toggle("highlighted", on);
  };
  for (const node of [box, entry]) {
    for (const event of ["pointerenter", "focusin"]) node.addEventListener(event, highlight(true));
    for (const event of ["pointerleave", "focusout"]) node.addEventListener(event, highlight(false));
  }
}

/** Describe the result of a face: the name, linked if it is known, and how likely it is; the figure on demand. */
export function matchSummary(face) {
  const name = h("strong", { dir: "auto" }, faceLabel(face));
  if (face.status === "unknown") return [name];
  const title = face.status === "matched" ? h("a", { href: personLink(face.user_id) }, name) : name;
  return [title, likelihood(face)];
}

function likelihood(face) {
  const words = text.likelihood[face.likelihood ?? face.status];
  const figure = h("span", { class: "score", hidden: true }, ` · ${text.similarity(similarity(face.similarity))}`);
  const onclick = ({ currentTarget: button }) => {
    figure.hidden = !figure.hidden;
    button.ariaExpanded = String(!figure.hidden);
  };
  const attributes = { type: "button", class: "likelihood", "aria-expanded": "false", title: text.figures, onclick };
  return h("span", { class: `certainty ${face.likelihood ?? face.status}` }, h("button", attributes, words), figure);
}
