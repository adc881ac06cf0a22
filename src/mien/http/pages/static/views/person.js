// One person: all photos with their quality, more photos, rename or merge (with undo), forget (with the receipt).

import { api } from "../api.js";
import { action, asked, confirmed, failure, h, spinner, toast, undoable } from "../dom.js";
import { portrait } from "../portrait.js";
import { knownNames, ownRecogniser } from "../state.js";
import { text } from "../strings.js";
import { uploader } from "../uploader.js";

const t = text.people;

export function render(userId) {
  const view = h("div", {}, spinner(text.recognise.working));
  const shown = { userId, view, top: h("div"), grid: h("ul", { className: "grid" }) };
  load(shown);
  return view;
}

async function load(shown) {
  const { userId, view, top, grid } = shown;
  try {
    const user = await api.user(userId);
    const marks = new Map();
    top.replaceChildren(head(shown, user));
    grid.replaceChildren(...user.faces.map((face) => tile(shown, user, face, marks)));
    if (!grid.isConnected) view.replaceChildren(top, adder(shown), grid); // else the lines of an upload stay
    mark(marks);
  } catch (error) {
    view.replaceChildren(h("h1", { dir: "auto" }, userId), ...failure(error, () => load(shown)));
  }
}

function head(shown, user) {
  const seen = user.last_seen ? new Date(user.last_seen).toLocaleString() : t.never;
  return h("div", { className: "head" },
    h("div", { className: "grow" }, h("h1", { dir: "auto" }, user.user_id), h("p", { className: "note" }, `${t.count(user.faces.length)} · ${t.lastSeen} ${seen}`)),
    action(t.rename, () => rename(shown, user), "quiet"),
    action(t.forget, () => forget(shown, user), "danger"));
}

function adder(shown) {
  const list = h("ul", { className: "progress" });
  const input = h("input", { type: "file", id: "more", accept: "image/*", multiple: true, className: "sr" });
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    list.querySelectorAll(".indexed").forEach((line) => line.remove());
    if (await uploader(files, shown.userId, list, () => load(shown))) load(shown);
  });
  return h("div", { className: "adder" }, input, h("label", { htmlFor: "more", className: "button quiet" }, t.addPhotos), list);
}

function tile(shown, user, face, marks) {
  const pic = h("span", { className: "pic" });
  portrait(pic, face);
  const remarks = h("span");
  marks.set(face.face_id, remarks);
  return h("li", {}, h("div", { className: "tile" }, pic,
    h("span", { className: "text" },
      remarks,
      h("span", { className: "foot" }, h("span", { className: "note" }, new Date(face.timestamp).toLocaleDateString()),
        action(t.deletePhoto, () => remove(shown, user, face), "link")))));
}

async function mark(marks) {
  if (!(await ownRecogniser())) return;
  const { findings } = await api.hygiene().catch(() => ({ findings: [] }));
  for (const finding of findings)
    for (const id of finding.face_ids)
      marks.get(id)?.append(h("span", { className: "badge", title: `${finding.evidence} ${finding.action}` }, t.trouble[finding.trouble] ?? finding.trouble), " ");
}

async function remove(shown, user, face) {
  const last = user.faces.length === 1;
  const warning = last ? `${t.deleteLast(user.user_id)} ${t.deleteText}` : t.deleteText;
  if (!(await confirmed(t.deleteAsk, warning, t.deletePhoto))) return;
  await api.deleteFace(face.face_id);
  if (!last) return load(shown);
  knownNames.changed();
  toast(t.deleted(user.user_id));
  location.hash = "#/people";
}

async function rename(shown, user) {
  const names = await knownNames().catch(() => []);
  const to = await askName(user.user_id, names);
  if (!to || to === user.user_id) return;
  const paths = [...new Set(user.faces.map((face) => face.image_path))];
  const { moved, trouble } = await moveAll(paths, to);
  const merging = names.includes(to);
  const said = trouble ? t.movedSome(moved.length, paths.length, to, trouble) : merging ? t.merged(user.user_id, to) : t.renamed(to);
  if (moved.length) undoable(said, () => moveBack(moved, user.user_id));
  else toast(said, "error");
  if (trouble) return load(shown);
  location.hash = `#/person/${encodeURIComponent(to)}`;
}

async function moveBack(moved, name) {
  const { trouble } = await moveAll(moved, name);
  dispatchEvent(new Event("hashchange"));
  if (trouble) throw new Error(trouble);
}

// What went well before something failed can still be taken back.
async function moveAll(paths, to) {
  const moved = [];
  const line = h("p", { className: "toast" });
  document.getElementById("toasts").append(line);
  try {
    for (const path of paths) {
      line.textContent = t.moving(moved.length + 1, paths.length);
      const upload = await api.move(path, to);
      if (upload.status !== "indexed") return { moved, trouble: upload.reasons.join(" ") };
      moved.push(upload.image_path);
    }
    return { moved };
  } catch (error) {
    return { moved, trouble: error.message };
  } finally {
    line.remove();
    knownNames.changed();
  }
}

async function askName(current, names) {
  const input = h("input", { id: "rename-to", value: current, maxLength: 80, dir: "auto" });
  input.setAttribute("list", "rename-known");
  const dialog = h("dialog", { "aria-labelledby": "rename-title" },
    h("form", { method: "dialog" }, h("h2", { id: "rename-title" }, t.rename),
      h("div", { className: "field" }, h("label", { htmlFor: "rename-to" }, t.name), input, h("p", { className: "note" }, t.renameHint)),
      h("datalist", { id: "rename-known" }, names.map((name) => h("option", { value: name }))),
      h("div", { className: "row end" }, action(text.cancel, () => dialog.close(), "quiet"), h("button", { value: "yes" }, t.rename))));
  const answer = asked(dialog);
  input.select();
  return (await answer) === "yes" ? input.value.trim() : null;
}

async function forget({ view }, user) {
  if (!(await confirmed(t.forgetAsk(user.user_id), t.forgetText, t.forget))) return;
  const receipt = await api.forget(user.user_id);
  knownNames.changed();
  view.replaceChildren(h("h1", {}, t.forgotten(user.user_id)), h("h2", {}, t.receipt), receiptTable(receipt), h("a", { href: "#/people" }, t.title));
}

function receiptTable(receipt) {
  const rows = Object.entries(receipt).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, String(value))));
  return h("table", {}, h("tbody", {}, rows));
}
