// Lists what was recognised and when, with faces; rows open; filters by person and date; exports CSV.

import { allPages, api } from "../api.js";
import { h, personLink, placeAt } from "../dom.js";
import { matchSummary } from "../face-overlay.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, confirmed, emptyState, errorWithRetry, spinner, toast } from "../feedback.js";
import { ago, dateTime, number, similarity } from "../format.js";
import { leftToRight } from "../names.js";
import { knownPeople } from "../state.js";
import { text } from "../strings.js";
import { summarizeFaces } from "../summary.js";

const t = text.history;
const EXPORT_PAGE_SIZE = 1000;
const MAX_THUMBNAILS = 4;
const CSV_COLUMNS = ["timestamp", "recognition_id", "status", "user_id", "name", "similarity", "image_path"];

export function render(userId) {
  const scene = {
    person: h("select", { id: "who" }, h("option", { value: "" }, t.everyone)),
    since: h("input", { id: "since", type: "date" }),
    answer: h("p", { role: "status" }),
    list: h("ol", { class: "timeline" }),
    rest: h("div"),
    requests: 0,
    faces: new Map(), // the best face of each person, by user id
  };
  const { person, since, answer, list, rest } = scene;
  for (const filter of [person, since]) filter.addEventListener("change", () => load(scene));
  start(scene, userId);
  const head = h(
    "div",
    { class: "head" },
    h("h1", {}, t.title),
    h("span", { class: "filter" }, h("label", { for: "who" }, t.person), person),
    h("span", { class: "filter" }, h("label", { for: "since" }, t.since), since),
    actionButton(t.csv, () => exportCsv(chosenFilters(scene)), "quiet"),
    actionButton(t.removeUnnamed, () => removeUnnamed(scene), "quiet"),
  );
  return h("div", {}, head, answer, list, rest);
}

async function start(scene, userId) {
  scene.rest.replaceChildren(spinner());
  const people = await knownPeople().catch(() => []);
  scene.faces = new Map(people.map((user) => [user.user_id, user.best_face]));
  scene.person.append(...people.map((user) => h("option", { value: user.user_id }, user.name)));
  if (scene.faces.has(userId)) scene.person.value = userId;
  await load(scene);
}

function chosenFilters({ person, since }) {
  // A day begins at midnight in the time zone of the user.
  const start = since.value && new Date(`${since.value}T00:00`).toISOString();
  return { user_id: person.value, since: start };
}

async function load(scene, cursor) {
  const { list, rest, answer } = scene;
  const filters = chosenFilters(scene);
  if (!cursor) rest.replaceChildren(spinner());
  scene.requests += 1;
  const request = scene.requests;
  const outdated = () => request !== scene.requests; // the filters were changed in the meantime
  try {
    const { recognitions, next_cursor: next } = await api.recognitions({ ...filters, cursor });
    if (outdated()) return;
    if (!cursor) {
      list.replaceChildren();
      answer.textContent = lastSeen(scene.person.selectedOptions[0], recognitions[0]);
    }
    list.append(...recognitions.map((recognition) => entry(scene, recognition)));
    rest.replaceChildren(...whatFollows(scene, filters, next));
  } catch (error) {
    if (!outdated()) rest.replaceChildren(...errorWithRetry(error, () => load(scene, cursor)));
  }
}

function whatFollows(scene, filters, next) {
  if (next) return [actionButton(t.more, () => load(scene, next), "quiet")];
  if (scene.list.children.length) return [];
  if (filters.user_id || filters.since) return [h("p", { class: "note" }, t.noneSuch)];
  return [emptyState(t.none, t.noneText)];
}

function lastSeen({ value: userId, label: name }, newest) {
  if (!userId) return "";
  return newest ? t.lastSeen(name, dateTime(newest.timestamp)) : t.neverSeen(name);
}

function entry(scene, recognition) {
  const faces = leftToRight(recognition.faces);
  const { recognition_id: id, timestamp } = recognition;
  const shown = faces.length ? faces.slice(0, MAX_THUMBNAILS) : [null];
  const thumbnails = h("span", { class: "faces-in-row" }, ...shown.map((face) => thumbnail(scene, recognition, face)));
  const when = h("time", { datetime: timestamp, title: dateTime(timestamp) }, ago(timestamp));
  const words = h("span", { class: "line" }, h("bdi", {}, summarizeFaces(faces)), when);
  const details = h("div", { class: "details", hidden: true });
  const row = h("button", { type: "button", class: "row-button", "aria-expanded": "false" }, thumbnails, words);
  row.addEventListener("click", () => {
    if (!details.firstChild) details.append(...describe(scene, recognition, faces));
    details.hidden = !details.hidden;
    row.ariaExpanded = String(!details.hidden);
  });
  const item = h("li", {}, row, details);
  item.dataset.id = id;
  return item;
}

/** Show the face itself if its photo was kept, else the person's enrolled face, else a mark. */
function thumbnail(scene, { image_path: imagePath }, face) {
  const container = h("span", { class: `thumbnail ${face?.status ?? ""}`, "aria-hidden": "true" }, face ? "?" : "–");
  if (!face) return container;
  const best = scene.faces.get(face.user_id);
  if (imagePath) showThumbnail(container, { image_path: imagePath, bounding_box: face.bounding_box });
  else if (best) showThumbnail(container, { ...best, name: "" });
  else if (face.name) container.textContent = [...face.name][0];
  return container;
}

function describe(scene, recognition, faces) {
  const { image_path: imagePath, timestamp, threshold, threshold_fpir: fpir, recognition_id: id } = recognition;
  const rate = fpir ? ` · ${t.strangers(number(Math.round(1 / fpir)))}` : "";
  const lines = faces.map((face, i) =>
    h(
      "li",
      { class: `face ${face.status}` },
      thumbnail(scene, recognition, face),
      h("span", { class: "number" }, String(i + 1)),
      h("div", {}, matchSummary(face), candidates(face)),
    ),
  );
  return [
    faces.length > 0 && layout(faces),
    h(
      "div",
      {},
      h("ul", { class: "people" }, lines),
      h("p", { class: "note" }, `${dateTime(timestamp)} · ${t.threshold(similarity(threshold))}${rate}`),
      h("p", { class: "note" }, imagePath ? "" : t.notKept),
      actionButton(t.remove, () => removeEntry(scene, id), "link"),
    ),
  ].filter(Boolean);
}

function candidates({ status, candidates: all }) {
  const others = all.filter(({ name }) => name).slice(status === "matched" ? 1 : 0);
  if (!others.length) return null;
  const links = others.flatMap(({ user_id: id, name, similarity: value }) => [
    " ",
    h("a", { href: personLink(id), dir: "auto" }, name),
    ` ${similarity(value)}`,
  ]);
  return h("p", { class: "note" }, t.candidates, links);
}

/** Draw where the faces were, for the photo itself is not kept. */
function layout(faces) {
  const boxes = faces.map(({ status, bounding_box: box }, i) => {
    return placeAt(h("span", { class: `box ${status}` }, h("span", { class: "number" }, String(i + 1))), box);
  });
  return h("div", { class: "layout", "aria-hidden": "true" }, ...boxes);
}

async function removeEntry(scene, id) {
  await api.deleteRecognition(id);
  scene.list.querySelector(`[data-id="${CSS.escape(id)}"]`)?.remove();
  if (!scene.list.children.length) await load(scene);
}

async function removeUnnamed(scene) {
  if (!(await confirmed(t.removeUnnamedAsk, t.removeUnnamedText, t.remove))) return;
  let count = 0;
  let cursor;
  do {
    const answer = await api.deleteUnnamed(cursor);
    count += answer.deleted;
    cursor = answer.next_cursor;
  } while (cursor);
  toast(t.removed(count));
  await load(scene);
}

async function exportCsv(filters) {
  const fetchPage = (cursor) => api.recognitions({ ...filters, limit: EXPORT_PAGE_SIZE, cursor });
  const rows = [CSV_COLUMNS];
  for await (const recognition of allPages(fetchPage, "recognitions")) {
    for (const face of recognition.faces) rows.push(CSV_COLUMNS.map((column) => recognition[column] ?? face[column]));
  }
  const file = new Blob(["\ufeff", toCsv(rows)], { type: "text/csv" });
  const link = h("a", { href: URL.createObjectURL(file), download: "recognitions.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Write rows as CSV in the form of RFC 4180. A cell that begins like a formula would be run by a spreadsheet. */
export function toCsv(rows) {
  const cell = (value) => {
    const harmless = String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
    return `"${harmless.replaceAll('"', '""')}"`;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n");
}
