// One person: all photos with their quality, more photos, rename or merge (with undo), forget (with the receipt).

import { api } from "../api.js";
import { confirmed, h, spinner, toast, undoable } from "../dom.js";
import { portrait } from "../portrait.js";
import { knownNames } from "../state.js";
import { text } from "../strings.js";
import { uploader } from "../uploader.js";

const t = text.people;

export function render(userId) {
  const view = h("div", {}, spinner(text.recognise.working));
  load(view, userId);
  return view;
}

async function load(view, userId) {
  try {
    const user = await api.user(userId);
    const marks = new Map();
    view.replaceChildren(head(view, user), adder(view, userId), h("ul", { className: "grid" }, user.faces.map((face) => tile(view, face, marks))));
    mark(marks);
  } catch (error) {
    view.replaceChildren(h("h1", { dir: "auto" }, userId), h("p", { className: "problem", role: "alert" }, error.message),
      h("button", { onclick: () => load(view, userId) }, text.recognise.again));
  }
}

function head(view, user) {
  const seen = user.last_seen ? new Date(user.last_seen).toLocaleString() : t.never;
  return h("div", { className: "head" },
    h("div", { className: "grow" }, h("h1", { dir: "auto" }, user.user_id), h("p", { className: "note" }, `${t.count(user.faces.length)} · ${t.lastSeen} ${seen}`)),
    h("button", { className: "quiet", onclick: () => rename(view, user) }, t.rename),
    h("button", { className: "danger", onclick: () => forget(view, user) }, t.forget));
}

function adder(view, userId) {
  const list = h("ul", { className: "progress" });
  const input = h("input", { type: "file", id: "more", accept: "image/*", multiple: true, className: "sr" });
  input.addEventListener("change", async () => {
    const taken = await uploader([...input.files], userId, list);
    input.value = "";
    if (taken) load(view, userId);
  });
  return h("div", { className: "adder" }, input, h("label", { htmlFor: "more", className: "button quiet" }, t.addPhotos), list);
}

function tile(view, face, marks) {
  const pic = h("span", { className: "pic" });
  portrait(pic, face);
  const remarks = h("span");
  marks.set(face.face_id, remarks);
  return h("li", {}, h("div", { className: "tile" }, pic,
    h("span", { className: "text" },
      remarks,
      h("span", { className: "note" }, new Date(face.timestamp).toLocaleDateString()), " · ",
      h("button", { className: "link", onclick: () => remove(view, face) }, t.deletePhoto))));
}

async function mark(marks) {
  const { findings } = await api.hygiene().catch(() => ({ findings: [] }));
  for (const finding of findings)
    for (const id of finding.face_ids)
      marks.get(id)?.append(h("span", { className: "badge", title: `${finding.evidence} ${finding.action}` }, t.trouble[finding.trouble] ?? finding.trouble), " ");
}

async function remove(view, face) {
  await api.deleteFace(face.face_id).catch((error) => toast(error.message, "error"));
  load(view, face.user_id);
}

async function rename(view, user) {
  const names = await knownNames().catch(() => []);
  const to = await askName(user.user_id, names);
  if (!to || to === user.user_id) return;
  const merging = names.includes(to);
  const paths = [...new Set(user.faces.map((face) => face.image_path))];
  try {
    const moved = await moveAll(paths, to);
    undoable(merging ? t.merged(user.user_id, to) : t.renamed(to), t.undo, async () => {
      await moveAll(moved, user.user_id);
      dispatchEvent(new Event("hashchange"));
    });
    location.hash = `#/person/${encodeURIComponent(to)}`;
  } catch (error) {
    toast(error.message, "error");
    load(view, user.user_id);
  }
}

async function moveAll(paths, to) {
  const moved = [];
  for (const path of paths) moved.push((await api.move(path, to)).image_path);
  knownNames.changed();
  return moved;
}

async function askName(current, names) {
  const input = h("input", { id: "rename-to", value: current, list: "rename-known", maxLength: 80, dir: "auto" });
  const dialog = h("dialog", { "aria-labelledby": "rename-title" },
    h("form", { method: "dialog" }, h("h2", { id: "rename-title" }, t.rename),
      h("div", { className: "field" }, h("label", { htmlFor: "rename-to" }, t.name), input, h("p", { className: "note" }, t.renameHint)),
      h("datalist", { id: "rename-known" }, names.map((name) => h("option", { value: name }))),
      h("div", { className: "row end" }, h("button", { value: "", type: "submit", className: "quiet" }, text.recognise.cancel), h("button", { value: "yes" }, t.rename))));
  document.body.append(dialog);
  dialog.showModal();
  input.select();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  dialog.remove();
  return dialog.returnValue === "yes" ? input.value.trim() : null;
}

async function forget(view, user) {
  if (!(await confirmed(t.forgetAsk(user.user_id), t.forgetText, t.forget))) return;
  try {
    const receipt = await api.forget(user.user_id);
    knownNames.changed();
    view.replaceChildren(h("h1", {}, t.forgotten(user.user_id)), h("h2", {}, t.receipt), receiptTable(receipt), h("a", { href: "#/people" }, t.title));
  } catch (error) {
    toast(error.message, "error");
  }
}

function receiptTable(receipt) {
  const rows = Object.entries(receipt).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, String(value))));
  return h("table", {}, h("tbody", {}, rows));
}
