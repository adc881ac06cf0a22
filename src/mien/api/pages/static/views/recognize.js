// Recognises photos that are dropped, pasted, chosen or taken; each gets a card, many get a summary and rows.

import { api } from "../api.js";
import { captureFrame, openCamera } from "../camera.js";
import { h } from "../dom.js";
import { actionButton, toast } from "../feedback.js";
import { forgetPeople, knownPeople, offers, threshold } from "../state.js";
import { text } from "../strings.js";
import { summarizePhotos } from "../summary.js";
import { taskQueue } from "../task-queue.js";
import { uploadPhotos } from "../uploader.js";
import { dismiss, photoCard, setCompact } from "./card.js";

const t = text.recognize;
const MAX_OPEN_PHOTOS = 3; // decoded and sent at the same time: a folder of photos would fill the memory
const MAX_LARGE_CARDS = 3; // of more photos, each is a row at first

export const keepAlive = true;

export function render() {
  const scene = {
    cards: [],
    list: h("div", { class: "cards" }),
    summary: h("div", { class: "summary", hidden: true }),
    counts: h("strong", { role: "status" }),
    group: actionButton(t.group, () => groupUnknown(scene), "link"),
    camera: h("div"),
    welcome: h("section", { class: "welcome", hidden: true }),
    enqueue: taskQueue(MAX_OPEN_PHOTOS),
  };
  const add = (files) => addPhotos(scene, [...files]);
  scene.drop = dropZone(scene, add);
  scene.view = h("div", { class: "recognize" }, scene.drop, scene.welcome, summaryBar(scene), scene.list);
  scene.view.addEventListener("enter", () => welcome(scene));
  acceptDrops(scene.view, scene.drop, add);
  acceptPastes(scene.view, add);
  return scene.view;
}

function addPhotos(scene, files) {
  const compact = files.length + scene.cards.length > MAX_LARGE_CARDS;
  const cards = files.map((file) => photoCard(file, { compact }));
  scene.cards.unshift(...cards);
  scene.list.prepend(...cards.map((card) => card.node));
  for (const card of cards) {
    card.node.addEventListener("changed", () => updateSummary(scene));
    scene.enqueue(card.recognize);
  }
  updateSummary(scene);
}

function updateSummary(scene) {
  scene.cards = scene.cards.filter((card) => card.node.parentNode);
  const { cards, drop, summary, counts, group, welcome } = scene;
  drop.classList.toggle("slim", cards.length > 0);
  if (cards.length) welcome.hidden = true;
  summary.hidden = cards.length < 2;
  group.hidden = !offers("groups") || !cards.some(hasUnknown);
  counts.textContent = summarizePhotos(cards.map((card) => card.faces ?? []));
}

function summaryBar(scene) {
  const each = (change) => () => {
    for (const card of [...scene.cards]) change(card);
  };
  scene.summary.append(
    scene.counts,
    actionButton(
      t.openAll,
      each((card) => setCompact(card, false)),
      "link",
    ),
    actionButton(
      t.closeAll,
      each((card) => setCompact(card, card.faces !== null)),
      "link",
    ),
    actionButton(t.dismissAll, each(dismiss), "link"),
    scene.group,
  );
  return scene.summary;
}

const hasUnknown = ({ faces }) => faces?.some((face) => face.status === "unknown");

/** Keep portraits of the unknown faces, grouped by likeness, and show the groups, where each needs a name once. */
async function groupUnknown({ cards }) {
  for (const { photo } of cards.filter(hasUnknown)) {
    await api.recognize(photo.blob, { threshold: threshold.get(), store: false, remember: true });
  }
  location.hash = "#/unnamed";
}

function dropZone(scene, add) {
  const input = h("input", { id: "photos", type: "file", accept: "image/*", multiple: true, class: "visually-hidden" });
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  const camera = actionButton(t.camera, () => showCamera(scene, add), "link");
  const choose = [input, h("label", { for: "photos", class: "link" }, t.choose)];
  const drop = h(
    "section",
    { class: "drop" },
    h("h1", {}, t.title),
    h("p", {}, `${t.lead} `, choose, ` ${t.or} `, camera, "."),
    scene.camera,
    h("p", { class: "hint" }, t.hint),
  );
  drop.addEventListener("click", ({ target }) => {
    if (!target.closest("input, label, button, .camera")) input.click();
  });
  return drop;
}

/** Tell a first-timer what comes first. */
async function welcome(scene) {
  const people = await knownPeople().catch(() => null);
  scene.welcome.hidden = !people || people.length > 0 || scene.cards.length > 0;
  if (scene.welcome.hidden || scene.welcome.firstChild) return;
  const steps = [h("a", { href: "#/people/add" }, t.stepPeople), t.stepPhoto, t.stepName];
  scene.welcome.append(h("h2", {}, t.welcome), h("ol", { class: "steps" }, ...steps.map((step) => h("li", {}, step))));
  if (!offers("samples")) return;
  scene.welcome.append(
    actionButton(t.samples, () => trySamples(scene)),
    h("p", { class: "note" }, t.samplesHint),
  );
}

/** Enrol the first person from one photo, and show two more: one of that person, one of somebody unknown. */
async function trySamples(scene) {
  const { people } = await api.samples();
  const [known, stranger] = people;
  const fetchFile = async (name) => new File([await api.sample(name)], name, { type: "image/jpeg" });
  const [first, second] = known.photos;
  const lines = h("ul");
  const enrolled = await uploadPhotos([await fetchFile(first)], { name: known.name }, lines, forgetPeople);
  if (!enrolled) throw new Error(lines.textContent);
  forgetPeople();
  toast(t.samplesReady(known.name, stranger.name));
  addPhotos(scene, [await fetchFile(second), await fetchFile(stranger.photos[0])]);
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
  const paste = ({ clipboardData }) => clipboardData?.files.length && addPhotos(clipboardData.files);
  view.addEventListener("enter", () => document.addEventListener("paste", paste));
  view.addEventListener("leave", () => document.removeEventListener("paste", paste));
}

async function showCamera({ camera: container, view }, addPhotos) {
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
