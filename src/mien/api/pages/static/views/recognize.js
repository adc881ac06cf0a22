// Recognises photos that are dropped, pasted, chosen or taken; each gets a card.

import { captureFrame, openCamera } from "../camera.js";
import { h, nameOptions } from "../dom.js";
import { actionButton, toast } from "../feedback.js";
import { knownPeople } from "../state.js";
import { text } from "../strings.js";
import { taskQueue } from "../task-queue.js";
import { photoCard } from "./card.js";

const t = text.recognize;
const MAX_OPEN_PHOTOS = 3; // decoded and sent at the same time: a folder of photos would fill the memory

export const keepAlive = true;

export function render() {
  const cards = h("div", { class: "cards" });
  const suggestions = h("datalist", { id: "known" });
  const enqueue = taskQueue(MAX_OPEN_PHOTOS);
  const addPhotos = (files) => {
    for (const file of files) {
      const card = photoCard(file);
      cards.prepend(card.node);
      enqueue(card.recognize);
    }
  };
  const camera = h("div");
  const drop = h(
    "section",
    { class: "drop" },
    h("h1", {}, t.title),
    h(
      "p",
      {},
      `${t.lead} `,
      fileChooser(addPhotos),
      ` ${t.or} `,
      actionButton(t.camera, () => showCamera(camera, view, addPhotos), "link"),
      ".",
    ),
    camera,
    h("p", { class: "hint" }, t.hint),
    suggestions,
  );
  const view = h("div", {}, drop, cards);
  view.addEventListener("enter", () => fillSuggestions(suggestions));
  acceptDrops(view, drop, addPhotos);
  acceptPastes(view, addPhotos);
  return view;
}

function fileChooser(addPhotos) {
  const input = h("input", { id: "photos", type: "file", accept: "image/*", multiple: true, class: "visually-hidden" });
  input.addEventListener("change", () => {
    addPhotos(input.files);
    input.value = "";
  });
  return [input, h("label", { for: "photos", class: "link" }, t.choose)];
}

function acceptDrops(view, drop, addPhotos) {
  for (const event of ["dragenter", "dragover"]) {
    view.addEventListener(event, (dragged) => {
      dragged.preventDefault();
      drop.classList.add("drag-over");
    });
  }
  for (const event of ["dragleave", "drop"]) view.addEventListener(event, () => drop.classList.remove("drag-over"));
  view.addEventListener("drop", (dropped) => {
    dropped.preventDefault();
    addPhotos(dropped.dataTransfer.files);
  });
}

function acceptPastes(view, addPhotos) {
  const paste = ({ clipboardData }) => addPhotos(clipboardData?.files ?? []);
  view.addEventListener("enter", () => document.addEventListener("paste", paste));
  view.addEventListener("leave", () => document.removeEventListener("paste", paste));
}

async function fillSuggestions(suggestions) {
  const people = await knownPeople().catch(() => []);
  suggestions.replaceChildren(...nameOptions(people));
}

async function showCamera(container, view, addPhotos) {
  if (container.firstChild) return;
  const video = h("video", { muted: true, playsinline: true, autoplay: true });
  let closeCamera = () => {};
  const close = () => {
    closeCamera();
    container.replaceChildren();
  };
  closeCamera = await openCamera(video, () => {
    close();
    toast(text.live.ended, "error");
  });
  if (!view.isConnected) return close(); // the view was left while the browser asked for the camera
  const takePhoto = () => {
    const photo = captureFrame(video, 0.92);
    close();
    addPhotos([new File([photo], "camera.jpg", { type: "image/jpeg" })]);
  };
  const buttons = h(
    "div",
    { class: "row" },
    actionButton(t.take, takePhoto),
    actionButton(text.cancel, close, "quiet"),
  );
  container.replaceChildren(h("div", { class: "camera" }, video, buttons));
  view.addEventListener("leave", close, { once: true });
}
