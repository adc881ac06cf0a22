// Shows one photo with its faces; unknown ones can be named, wrong names corrected.

import { api, waitUntilIndexed } from "../api.js";
import { h, nameInput } from "../dom.js";
import { faceBox, linkHighlights, matchSummary } from "../face-overlay.js";
import { actionButton, errorMessage, retryButton, runBusy, spinner, toast, toastWithUndo } from "../feedback.js";
import { cropFace, encodeJpeg, readPhoto } from "../photo.js";
import { forgetPeople, threshold } from "../state.js";
import { text } from "../strings.js";

const t = text.recognize;
const THUMBNAIL_MARGIN = 0.25;
const UPLOAD_MARGIN = 0.6; // the server detects the face again, for which it needs to see what surrounds it
const MANY_FACES = 4; // with more, phones show the names of highlighted strangers only
const CROWD = 12; // with more, every screen does

/** Build the card of a photo file. `recognize` reads the photo, recognises its faces and shows them. */
export function photoCard(file) {
  const card = { file, node: h("article", { class: "card" }, spinner(t.working)), photo: null, figure: null };
  return { node: card.node, recognize: () => recognize(card) };
}

async function recognize(card) {
  const { node, file } = card;
  const faces = h("div", { class: "faces" }, spinner(t.working));
  try {
    card.photo ??= await readPhoto(file);
    card.figure ??= photoFigure(card.photo, file);
    node.replaceChildren(card.figure, faces);
    await updateFaces(card);
  } catch (error) {
    const buttons = h(
      "div",
      { class: "row" },
      retryButton(error, () => recognize(card)),
      removeButton(card),
    );
    faces.replaceChildren(errorMessage(error), buttons);
    node.replaceChildren(card.figure ?? blankFigure(file), faces);
  }
}

async function updateFaces(card) {
  const { faces } = await api.recognize(card.photo.blob, { threshold: threshold.get() });
  showFaces(card, faces);
}

function photoFigure({ url, width, height }, file) {
  if (!url) return blankFigure(file, h("p", { class: "note" }, t.noPreview));
  return h("figure", { class: "photo" }, h("img", { src: url, alt: file.name || t.title, width, height }));
}

const blankFigure = (file, ...notes) => h("figure", { class: "photo blank" }, h("p", {}, file.name), notes);

function removeButton({ node, photo }) {
  const remove = () => {
    node.remove();
    URL.revokeObjectURL(photo?.url);
  };
  return actionButton(t.remove, remove, "quiet");
}

function showFaces(card, faces) {
  const { figure, node } = card;
  const entries = faces.map((face) => faceEntry(card, face));
  keepTypedNames(node, entries);
  for (const old of figure.querySelectorAll(".box")) old.remove();
  figure.classList.toggle("many", faces.length > MANY_FACES);
  figure.classList.toggle("crowd", faces.length > CROWD);
  if (figure.querySelector("img")) {
    const boxes = faces.map(faceBox);
    figure.append(...boxes);
    boxes.forEach((box, i) => {
      linkHighlights(box, entries[i]);
    });
  }
  node
    .querySelector(".faces")
    .replaceChildren(
      h("h2", {}, faces.length ? t.faces(faces.length) : t.noFace),
      h("ul", { class: "people" }, entries),
      removeButton(card),
    );
}

function keepTypedNames(node, entries) {
  // The same photo has the same faces in the same order.
  node.querySelectorAll(".face").forEach((old, i) => {
    const [before, after] = [old, entries[i]].map((entry) => entry?.querySelector("input"));
    if (before && after) after.value = before.value;
  });
}

function faceEntry(card, face) {
  const thumbnail = h("span", { class: "thumbnail" });
  const entry = h("li", { class: `face ${face.status}` }, thumbnail, h("div", {}, matchSummary(face)));
  const image = card.figure.querySelector("img");
  if (!image) return entry;
  showCrop(thumbnail, image, face);
  entry.append(face.status === "matched" ? rejectButton(card, face, image) : nameForm(entry, face, image));
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

function nameForm(entry, face, image) {
  const input = nameInput({ placeholder: t.who, "aria-label": t.who, required: true }, "known");
  const button = h("button", {}, t.enroll);
  const submit = async () => {
    const name = input.value.trim();
    await enroll(image, face, name);
    entry.className = "face matched";
    entry.replaceChildren(entry.firstChild, h("div", {}, h("strong", { dir: "auto" }, name)));
  };
  const onsubmit = (event) => {
    event.preventDefault();
    runBusy(button, submit);
  };
  return h("form", { class: "name-form", onsubmit }, input, button);
}

async function enroll(image, face, name) {
  const upload = await api.upload(encodeJpeg(cropFace(image, face.bounding_box, UPLOAD_MARGIN)), { name });
  const { status, reasons } = await waitUntilIndexed(upload);
  if (["rejected", "failed"].includes(status)) throw new Error(reasons.join(" "));
  toast(status === "pending" ? t.enrolling(name) : t.enrolled(name));
  forgetPeople();
}

function rejectButton(card, face, image) {
  const reject = async () => {
    const crop = encodeJpeg(cropFace(image, face.bounding_box, UPLOAD_MARGIN));
    const { face_id: rejectionId } = await api.reject(crop, face.user_id);
    toastWithUndo(t.rejected(face.name), async () => {
      await api.deleteRejection(rejectionId);
      await updateFaces(card);
    });
    await updateFaces(card);
  };
  return actionButton(t.not(face.name), reject, "link reject");
}
