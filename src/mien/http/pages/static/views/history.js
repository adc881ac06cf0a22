// What was recognised and when; filters by person and time; CSV; "when was X last seen".

import { api } from "../api.js";
import { nameOf } from "../boxes.js";
import { empty, h } from "../dom.js";
import { portrait } from "../portrait.js";
import { knownNames } from "../state.js";
import { text } from "../strings.js";

const t = text.history;

export function render() {
  const person = h("select", { id: "who" }, h("option", { value: "" }, t.everyone));
  const since = h("input", { id: "since", type: "date" });
  const answer = h("p", { role: "status" });
  const list = h("ol", { className: "timeline" });
  const rest = h("div");
  const shown = [];
  const filters = () => ({ user_id: person.value, since: since.value ? new Date(since.value).toISOString() : "" });
  const reload = () => { shown.length = 0; list.replaceChildren(); more({ list, rest, answer, shown, filters }); };
  person.addEventListener("change", reload);
  since.addEventListener("change", reload);
  knownNames().then((names) => person.append(...names.map((name) => h("option", { value: name }, name)))).catch(() => {});
  more({ list, rest, answer, shown, filters });
  return h("div", {},
    h("div", { className: "head" }, h("h1", {}, t.title),
      h("label", { htmlFor: "who" }, t.person), person, h("label", { htmlFor: "since" }, t.since), since,
      h("button", { className: "quiet", onclick: () => download(shown) }, t.csv)),
    answer, list, rest);
}

async function more(scene, cursor) {
  const { list, rest, answer, shown, filters } = scene;
  const query = filters();
  try {
    const page = await api.recognitions({ ...query, cursor });
    shown.push(...page.recognitions);
    list.append(...page.recognitions.map(entry));
    if (!cursor) answer.textContent = lastSeen(query.user_id, page.recognitions[0]);
    rest.replaceChildren(
      page.next_cursor ? h("button", { className: "quiet", onclick: () => more(scene, page.next_cursor) }, t.more)
        : shown.length ? "" : empty(t.none, t.noneText));
  } catch (error) {
    rest.replaceChildren(h("p", { className: "problem", role: "alert" }, error.message), h("button", { onclick: () => more(scene, cursor) }, text.recognise.again));
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
  return h("li", {}, pic, h("span", { dir: "auto" }, names(recognition) || t.nobody),
    h("time", { dateTime: recognition.timestamp }, new Date(recognition.timestamp).toLocaleString()));
}

const initial = (face) => (face?.status === "matched" ? [...face.user_id][0] : "?");

const names = (recognition) => recognition.faces.map(nameOf).join(", ");

// A cell that starts like a formula would be run by a spreadsheet.
const cell = (value) => `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

function download(recognitions) {
  const head = ["timestamp", "recognition_id", "status", "user_id", "similarity", "image_path"];
  const rows = recognitions.flatMap((r) => r.faces.map((f) => [r.timestamp, r.recognition_id, f.status, f.user_id, f.similarity, r.image_path]));
  const csv = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  const link = h("a", { href: URL.createObjectURL(new Blob(["\ufeff", csv], { type: "text/csv" })), download: "recognitions.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
