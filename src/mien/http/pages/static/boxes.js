// Draws the faces of a recognition over a picture, and lists them beside it.

import { h, place } from "./dom.js";
import { text } from "./strings.js";

export function nameOf(face) {
  if (face.status === "matched") return face.user_id;
  if (face.status === "ambiguous") return text.recognise.either(...face.candidates.slice(0, 2).map((c) => c.user_id));
  return text.recognise.unknown;
}

export const percent = (similarity) => (similarity >= 99.95 ? "99.9" : similarity.toFixed(1));

export function box(face, { label = true } = {}) {
  const low = face.bounding_box.top + face.bounding_box.height > 0.9;
  return place(
    h("div", { className: `box ${face.status}${low ? " low" : ""}` },
      label && h("span", { className: "tag", dir: "auto" }, nameOf(face))),
    face.bounding_box);
}

export function pair(boxNode, row) {
  const light = (on) => () => [boxNode, row].forEach((node) => node.classList.toggle("lit", on));
  for (const node of [boxNode, row]) {
    node.addEventListener("pointerenter", light(true));
    node.addEventListener("pointerleave", light(false));
    node.addEventListener("focusin", light(true));
    node.addEventListener("focusout", light(false));
  }
}

export function verdict(face) {
  const name = h("strong", { dir: "auto" }, nameOf(face));
  if (face.status === "matched")
    return [h("a", { href: `#/person/${encodeURIComponent(face.user_id)}` }, name), h("span", { className: "score" }, text.recognise.similarity(percent(face.similarity)))];
  if (face.status === "ambiguous")
    return [name, h("span", { className: "note" }, text.recognise.ambiguous)];
  return [name];
}
