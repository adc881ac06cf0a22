// What was recognised and when; filters by person and time; CSV; "when was X last seen".

import { api, pages } from "../api.js";
import { nameOf } from "../boxes.js";
import { action, empty, failure, h, spinner } from "../dom.js";
import { portrait } from "../portrait.js";
import { knownNames } from "../state.js";
import { text } from "../strings.js";

const t = text.history;

export function render() {
  const person = h("select", { id: "who" }, h("option", { value: "" }, t.everyone));
  const since = h("input", { id: "since", type: "date" });
  const scene = { person, since, answer: h("p", { role: "status" }), list: h("ol", { className: "timeline" }), rest: h("div"), turn: 0 };
  for (const filter of [person, since]) filter.addEventListener("change", () => more(scene));
  knownNames().then((names) => person.append(...names.map((name) => h("option", { value: name }, name)))).catch(() => {});
  more(scene);
  return h("div", {},
    h("div", { className: "head" }, h("h1", {}, t.title),
      h("span", { className: "filter" }, h("label", { htmlFor: "who" }, t.person), person),
      h("span", { className: "filter" }, h("label", { htmlFor: "since" }, t.since), since),
      action(t.csv, () => download(wanted(scene)), "quiet")),
    scene.answer, scene.list, scene.rest);
}

// A day begins at midnight where the person is.
const wanted = ({ person, since }) => ({ user_id: person.value, since: since.value ? new Date(`${since.value}T00:00`).toISOString() : "" });

async function more(scene, cursor) {
  const { list, rest, answer } = scene;
  const query = wanted(scene);
  if (!cursor) rest.replaceChildren(spinner(text.recognise.working));
  const turn = scene.turn += 1; // an answer to filters that were changed meanwhile is not shown
  try {
    const { recognitions, next_cursor: next } = await api.recognitions({ ...query, cursor });
    if (turn !== scene.turn) return;
    if (!cursor) list.replaceChildren();
    if (!cursor) answer.textContent = lastSeen(query.user_id, recognitions[0]);
    list.append(...recognitions.map(entry));
    const none = query.user_id || query.since ? [h("p", { className: "note" }, t.noneSuch)] : [empty(t.none, t.noneText)];
    rest.replaceChildren(...(next ? [action(t.more, () => more(scene, next), "quiet")] : list.children.length ? [] : none));
  } catch (error) {
    if (turn === scene.turn) rest.replaceChildren(...failure(error, () => more(scene, cursor)));
  }
}

function lastSeen(name, newest) {
  if (!name) return "";
  return newest ? t.lastSeen(name, new Date(newest.timestamp).toLocaleString()) : t.neverSeen(name);
}

function entry(recognition) {
  const [first] = recognition.faces;
  const pic = h("span", { className: `pic ${first?.status ?? ""}`, "aria-hidden": "true" }, initial(first));
  if (first && recognition.image_path) portrait(pic, { image_path: recognition.image_path, bounding_box: first.bounding_box });
  return h("li", {}, pic, h("span", {}, h("bdi", {}, names(recognition) || t.noFace)),
    h("time", { dateTime: recognition.timestamp }, new Date(recognition.timestamp).toLocaleString()));
}

const initial = (face) => (face?.status === "matched" ? [...face.user_id][0] : "?");

function names(recognition) {
  const known = recognition.faces.filter((face) => face.status !== "unknown").map(nameOf);
  const strangers = recognition.faces.length - known.length;
  return [...new Set(known), ...(strangers ? [t.unknown(strangers)] : [])].join(", ");
}

// A cell that starts like a formula would be run by a spreadsheet.
const cell = (value) => `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

async function download(query) {
  const rows = [];
  for await (const r of pages((cursor) => api.recognitions({ ...query, limit: 1000, cursor }), "recognitions"))
    rows.push(...r.faces.map((f) => [r.timestamp, r.recognition_id, f.status, f.user_id, f.similarity, r.image_path]));
  const head = ["timestamp", "recognition_id", "status", "user_id", "similarity", "image_path"];
  const csv = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  const link = h("a", { href: URL.createObjectURL(new Blob(["\ufeff", csv], { type: "text/csv" })), download: "recognitions.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
