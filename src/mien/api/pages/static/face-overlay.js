// Draws the faces of a recognition over a photo, and words their results.

import { h, personLink, placeAt } from "./dom.js";
import { text } from "./strings.js";

const LOW_EDGE = 0.9; // of the photo's height: below, there is no room for the label under the face

/** Name the person of a face, both candidates of an ambiguous one, or "Unknown". */
export function faceLabel(face) {
  if (face.status === "matched") return face.name;
  if (face.status === "ambiguous") return text.recognize.either(...face.candidates.slice(0, 2).map((c) => c.name));
  return text.recognize.unknown;
}

/** Format a similarity (0 to 100) with one decimal; no two photos are certain, so 100.0 is never shown. */
export const formatSimilarity = (similarity) => (similarity >= 99.95 ? "99.9" : similarity.toFixed(1));

/** Build the box of a face, with its label, to be put over the photo. */
export function faceBox(face) {
  const { top, height } = face.bounding_box;
  const low = top + height > LOW_EDGE ? " low" : "";
  const label = h("span", { class: "tag", dir: "auto" }, faceLabel(face));
  return placeAt(h("div", { class: `box ${face.status}${low}` }, label), face.bounding_box);
}

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

/** Describe the result of a face: the name, linked if it is known, and how similar the face is. */
export function matchSummary(face) {
  const name = h("strong", { dir: "auto" }, faceLabel(face));
  if (face.status === "matched") {
    const score = h("span", { class: "score" }, text.similarity(formatSimilarity(face.similarity)));
    return [h("a", { href: personLink(face.user_id) }, name), score];
  }
  if (face.status === "ambiguous") return [name, h("span", { class: "note" }, text.recognize.ambiguous)];
  return [name];
}
