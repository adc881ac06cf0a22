// Shows one photo with its faces; unknown ones can be named, wrong names corrected, all of it undone.

import { downloadAnnotated } from "../annotated-photo.js";
import { api, uploadNotes, waitUntilIndexed } from "../api.js";
import { h, personLink } from "../dom.js";
import { faceBox, keepLabelsApart, linkHighlights, matchSummary } from "../face-overlay.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, errorMessage, retryButton, runBusy, spinner, toast, toastWithUndo } from "../feedback.js";
import { nameField } from "../name-field.js";
import { leftToRight } from "../names.js";
import { cropFace, encodeJpeg, readPhoto } from "../photo.js";
import { forgetPeople, knownPeople, threshold } from "../state.js";
import { text } from "../strings.js";
import { summarizeFaces } from "../summary.js";

const t = text.recognize;
const THUMBNAIL_MARGIN = 0.25;
const UPLOAD_MARGIN = 0.6; // the server detects the face again, for which it needs to see what surrounds it
const MANY_FACES = 4; // with more, phones show the names of highlighted strangers only
const CROWD = 12; // with more, every screen does

/**
 * Build the card of a photo file: `{ node, recognize, faces }`.
 *
 * `recognize` reads the photo, recognises its faces and shows them; `faces` are the last answer, null without one. The
 * node gets the event "changed" when they change or the card is dismissed. A compact card is a row that opens.
 */
export function photoCard(file, { compact = false } = {}) {
  const node = h("article", { class: "card" }, spinner(t.working));
  const card = { file, node, photo: null, figure: null, faces: null, label: null, compact };
  card.placeLabels = () => {};
  card.recognize = () => recognize(card);
  return card;
}

async function recognize(card) {
  const { node, file } = card;
  const list = h("div", { class: "faces" }, spinner(t.working));
  try {
    card.photo ??= await readPhoto(file);
    card.figure ??= photoFigure(card.photo, file);
    lay(card, list);
    card.placeLabels = keepLabelsApart(card.figure);
    await updateFaces(card);
  } catch (error) {
    // A second look helps neither a damaged photo nor one in another format.
    const canHelp = error.status !== undefined && ![400, 413, 415, 422].includes(error.status);
    const retry = canHelp && retryButton(error, () => recognize(card));
    list.replaceChildren(errorMessage(error), h("div", { class: "row" }, retry, dismissButton(card)));
    card.figure ??= h("figure", { class: "photo blank" }, h("p", { dir: "auto" }, file.name));
    card.compact = false;
    lay(card, list);
    node.dispatchEvent(new Event("changed"));
  }
}

function lay(card, list) {
  const { node, figure, photo, file } = card;
  card.label = h("span", { class: "line", dir: "auto" }, t.working);
  const fileName = h("span", { class: "file-name note", dir: "auto" }, file.name);
  const onclick = () => setCompact(card, !card.compact);
  const small = photo?.url && h("img", { src: photo.url, alt: "" });
  card.row = h("button", { type: "button", class: "card-row", onclick }, small, card.label, fileName);
  node.replaceChildren(card.row, figure, list);
  setCompact(card, card.compact);
}

/** Show a card as a row, or whole. */
export function setCompact(card, compact) {
  card.compact = compact;
  card.node.classList.toggle("compact", compact);
  if (card.row) card.row.ariaExpanded = String(!compact);
  card.placeLabels();
}

async function updateFaces(card, { store } = {}) {
  const answer = await api.recognize(card.photo.blob, { threshold: threshold.get(), store });
  showFaces(card, leftToRight(answer.faces));
}

function photoFigure({ url, width, height }, file) {
  return h("figure", { class: "photo" }, h("img", { src: url, alt: file.name || t.title, width, height }));
}

function dismissButton(card) {
  return actionButton(t.dismiss, () => dismiss(card), "quiet");
}

export function dismiss({ node, photo }) {
  node.remove();
  if (photo?.url) URL.revokeObjectURL(photo.url);
  node.dispatchEvent(new Event("changed"));
}

function showFaces(card, faces) {
  const { figure, node } = card;
  card.faces = faces;
  const entries = faces.map((face, i) => faceEntry(card, face, i + 1));
  keepTypedNames(node, entries);
  for (const old of figure.querySelectorAll(".box")) old.remove();
  figure.classList.toggle("many", faces.length > MANY_FACES);
  figure.classList.toggle("crowd", faces.length > CROWD);
  const boxes = faces.map((face, i) => faceBox(face, i + 1));
  figure.append(...boxes);
  boxes.forEach((box, i) => {
    linkHighlights(box, entries[i]);
  });
  const download = actionButton(t.download, () => downloadAnnotated(card), "quiet");
  node
    .querySelector(".faces")
    .replaceChildren(
      h("h2", {}, faces.length ? t.faces(faces.length) : t.noFace),
      h("ul", { class: "people" }, entries),
      h("div", { class: "row" }, faces.length > 0 && download, dismissButton(card)),
    );
  changed(card);
}

function changed(card) {
  card.label.replaceChildren(summarizeFaces(card.faces));
  showFacesInRow(card);
  card.placeLabels();
  card.node.dispatchEvent(new Event("changed"));
}

/** Of a photo that is higher or wider than the row's small picture, show the part with the faces. */
function showFacesInRow({ row, faces }) {
  const small = row.querySelector("img");
  if (!small || !faces.length) return;
  const mean = (middle) => (100 * faces.reduce((sum, { bounding_box: box }) => sum + middle(box), 0)) / faces.length;
  const across = mean((box) => box.left + box.width / 2);
  const down = mean((box) => box.top + box.height / 2);
  small.style.objectPosition = `${across}% ${down}%`;
}

function keepTypedNames(node, entries) {
  // The same photo has the same faces in the same order.
  node.querySelectorAll(".face").forEach((old, i) => {
    const [before, after] = [old, entries[i]].map((entry) => entry?.querySelector("input"));
    if (before && after) after.value = before.value;
  });
}

function faceEntry(card, face, number) {
  const thumbnail = h("span", { class: "thumbnail" });
  const who = h("div", {}, matchSummary(face));
  const entry = h("li", { class: `face ${face.status}` }, thumbnail, h("span", { class: "number" }, number), who);
  const image = card.figure.querySelector("img");
  showCrop(thumbnail, image, face);
  const target = { card, face, number, entry, image };
  if (face.likelihood === "likely") showForComparison(entry, [face.candidates[0]]);
  if (face.status === "matched") entry.append(rejectButton(target));
  if (face.status === "ambiguous") entry.append(candidateButtons(target));
  if (face.status !== "matched") entry.append(nameForm(target));
  return entry;
}

async function showCrop(thumbnail, image, face) {
  try {
    await image.decode();
    thumbnail.replaceChildren(cropFace(image, face.bounding_box, THUMBNAIL_MARGIN));
  } catch {
    // The card was removed before its photo was decoded.
  }
}

/** Put the enrolled faces of people beside a face, for the eye to compare. */
async function showForComparison(entry, candidates) {
  const people = await knownPeople().catch(() => []);
  const faces = candidates.map(({ user_id: id }) => people.find((person) => person.user_id === id)?.best_face);
  const thumbnails = faces.filter(Boolean).map((face) => {
    const container = h("span", { class: "thumbnail" });
    showThumbnail(container, face);
    return container;
  });
  if (thumbnails.length) entry.append(h("div", { class: "comparison" }, h("span", {}, t.compare), ...thumbnails));
}

function candidateButtons(target) {
  const buttons = target.face.candidates.slice(0, 2).map(({ user_id: id, name }) => {
    const button = actionButton("", () => remember(target, { user_id: id, name }), "quiet candidate");
    const thumbnail = h("span", { class: "thumbnail" });
    button.append(thumbnail, h("span", { dir: "auto" }, name));
    knownPeople().then(
      (people) => {
        const face = people.find((person) => person.user_id === id)?.best_face;
        if (face) showThumbnail(thumbnail, face);
      },
      () => {},
    );
    return button;
  });
  return h("div", { class: "candidates" }, buttons);
}

function nameForm(target) {
  const { node, answer } = nameField({ label: t.who });
  const button = h("button", { class: "soft" }, t.save);
  const submit = async () => {
    const person = await answer();
    if (person) await remember(target, person);
  };
  const onsubmit = (event) => {
    event.preventDefault();
    runBusy(button, submit);
  };
  return h("form", { class: "name-form", onsubmit }, node, button);
}

/** Enrol a face as a person's, say so in list and picture, and go on to the next stranger. */
async function remember(target, person) {
  const { card, face, entry, image } = target;
  const whose = person.user_id ? { user_id: person.user_id } : { name: person.name };
  const upload = await api.upload(encodeJpeg(cropFace(image, face.bounding_box, UPLOAD_MARGIN)), whose);
  const result = await waitUntilIndexed(upload);
  const { status, face_ids: faceIds, user_id: userId } = result;
  if (["rejected", "failed"].includes(status)) throw new Error(uploadNotes(result).join(" "));
  forgetPeople();
  if (status === "pending") toast(t.enrolling(person.name));
  const before = { ...face };
  Object.assign(face, { status: "matched", user_id: userId, name: person.name, likelihood: "named" });
  const undo = async () => {
    for (const id of faceIds) await api.deleteFace(id);
    forgetPeople();
    Object.assign(face, before);
    replaceEntry(target, faceEntry(card, face, target.number));
    target.entry.querySelector("input")?.focus();
  };
  const name = h("a", { href: personLink(userId) }, h("strong", { dir: "auto" }, person.name));
  const saved = h("div", {}, name, h("span", { class: "saved", role: "status" }, t.saved));
  if (faceIds.length) saved.append(" · ", actionButton(text.undo, undo, "link"));
  const named = h("li", { class: "face matched" }, entry.firstChild, entry.querySelector(".number"), saved);
  replaceEntry(target, named);
  focusNextStranger(card, named);
}

function replaceEntry(target, entry) {
  const { card, face, number } = target;
  target.entry.replaceWith(entry);
  target.entry = entry;
  const box = faceBox(face, number);
  card.figure.querySelectorAll(".box")[number - 1].replaceWith(box);
  linkHighlights(box, entry);
  changed(card);
}

function focusNextStranger(card, named) {
  const inputs = [...card.node.querySelectorAll(".face input")];
  const isAfter = (input) => named.compareDocumentPosition(input) & Node.DOCUMENT_POSITION_FOLLOWING;
  const next = inputs.find(isAfter) ?? inputs[0] ?? named.querySelector("button") ?? named.querySelector("a");
  next.focus();
}

function rejectButton({ card, face, image }) {
  const reject = async () => {
    const crop = encodeJpeg(cropFace(image, face.bounding_box, UPLOAD_MARGIN));
    const { face_id: rejectionId } = await api.reject(crop, face.user_id);
    const position = card.faces.indexOf(face);
    const update = async () => {
      await updateFaces(card);
      card.node.querySelectorAll(".face")[position]?.querySelector("input, .reject")?.focus();
    };
    toastWithUndo(t.rejected(face.name), async () => {
      await api.deleteRejection(rejectionId);
      await update();
    });
    await update();
  };
  return actionButton(t.not(face.name), reject, "link reject");
}
