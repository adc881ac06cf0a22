// Lists what was recognised and when; filters by person and date; exports CSV; tells when somebody was last seen.

import { allPages, api } from "../api.js";
import { h } from "../dom.js";
import { faceLabel } from "../face-overlay.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, confirmed, emptyState, errorWithRetry, spinner, toast } from "../feedback.js";
import { knownPeople } from "../state.js";
import { text } from "../strings.js";

const t = text.history;
const EXPORT_PAGE_SIZE = 1000;
const CSV_COLUMNS = ["timestamp", "recognition_id", "status", "user_id", "name", "similarity", "image_path"];

export function render() {
  const scene = {
    person: h("select", { id: "who" }, h("option", { value: "" }, t.everyone)),
    since: h("input", { id: "since", type: "date" }),
    answer: h("p", { role: "status" }),
    list: h("ol", { class: "timeline" }),
    rest: h("div"),
    requests: 0,
  };
  const { person, since, answer, list, rest } = scene;
  for (const filter of [person, since]) filter.addEventListener("change", () => load(scene));
  offerPeople(person);
  load(scene);
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

async function offerPeople(select) {
  const people = await knownPeople().catch(() => []);
  select.append(...people.map((user) => h("option", { value: user.user_id }, user.name)));
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
  const number = scene.requests;
  const outdated = () => number !== scene.requests; // the filters were changed in the meantime
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
  return newest ? t.lastSeen(name, new Date(newest.timestamp).toLocaleString()) : t.neverSeen(name);
}

function entry(scene, { recognition_id: id, faces, image_path: imagePath, timestamp }) {
  const [first] = faces;
  const initial = first?.status === "matched" ? [...first.name][0] : "?";
  const thumbnail = h("span", { class: `thumbnail ${first?.status ?? ""}`, "aria-hidden": "true" }, initial);
  if (first && imagePath) showThumbnail(thumbnail, { image_path: imagePath, bounding_box: first.bounding_box });
  const people = h("span", {}, h("bdi", {}, summarizeFaces(faces)));
  const time = h("time", { datetime: timestamp }, new Date(timestamp).toLocaleString());
  const remove = actionButton(t.remove, () => removeEntry(scene, id), "link");
  return h("li", {}, thumbnail, people, h("span", { class: "foot" }, time, " ", remove));
}

async function removeEntry(scene, id) {
  await api.deleteRecognition(id);
  await load(scene);
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

/** Name everybody in a photo: each person once, then how many faces are unknown. */
export function summarizeFaces(faces) {
  const known = faces.filter((face) => face.status !== "unknown").map(faceLabel);
  const unknown = faces.length - known.length;
  const parts = [...new Set(known), ...(unknown ? [t.unknown(unknown)] : [])];
  return parts.join(", ") || t.noFace;
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
