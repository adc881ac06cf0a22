// Shows one person: all photos with their quality; adds, moves and deletes photos; renames or merges; forgets.

import { api, uploadNotes } from "../api.js";
import { h, personLink, table } from "../dom.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, confirmed, errorWithRetry, spinner, toast, toastWithUndo } from "../feedback.js";
import { ago, dateTime, day } from "../format.js";
import { askForName, askForOther, askWhoElse } from "../person-dialogs.js";
import { showPhoto } from "../photo-dialog.js";
import { forgetPeople, usesOwnEngine } from "../state.js";
import { serverSentence, text } from "../strings.js";
import { uploadPhotos } from "../uploader.js";

const t = text.people;

export function render(userId) {
  const scene = { userId, view: h("div", {}, spinner()), head: h("div"), grid: h("ul", { class: "grid photos" }) };
  load(scene);
  return scene.view;
}

async function load(scene) {
  const { userId, view, head, grid } = scene;
  try {
    const user = await api.user(userId);
    const tiles = user.faces.map((face) => photoTile(scene, user, face));
    head.replaceChildren(personHead(scene, user));
    grid.replaceChildren(...tiles.map((tile) => tile.node));
    document.title = `${user.name} · Mien`;
    // Once shown, the lines of an upload stay.
    if (!grid.isConnected) view.replaceChildren(backLink(), head, photoAdder(scene, user), grid);
    markIssues(tiles);
  } catch (error) {
    view.replaceChildren(backLink(), h("h1", { dir: "auto" }, userId), ...errorWithRetry(error, () => load(scene)));
  }
}

const backLink = () => h("p", { class: "back" }, h("a", { href: "#/people" }, `← ${t.title}`));

function personHead(scene, user) {
  const seen = user.last_seen
    ? h("time", { datetime: user.last_seen, title: dateTime(user.last_seen) }, t.lastSeen(ago(user.last_seen)))
    : t.never;
  const history = h("a", { href: `#/history/${encodeURIComponent(user.user_id)}` }, seen);
  const summary = h("p", { class: "note" }, `${text.photos(user.faces.length)} · `, user.last_seen ? history : seen);
  return h(
    "div",
    { class: "head person" },
    h("div", { class: "grow" }, h("h1", { dir: "auto" }, user.name), summary),
    consentField(scene, user),
    actionButton(t.rename, () => rename(scene, user), "quiet"),
    actionButton(t.mergeButton, () => mergeWithOther(user), "quiet"),
    actionButton(t.forget, () => forget(scene, user), "danger"),
  );
}

function consentField(scene, user) {
  let stored = user.consent_until ?? "";
  const input = h("input", { type: "date", id: "consent", value: stored, min: todayInUtc() });
  const save = async () => {
    if (input.value === stored) return;
    stored = input.value;
    try {
      const { consent_until: until } = await api.setConsent(user.user_id, stored);
      toast(until ? t.consentSet(user.name, day(until)) : t.consentOpen(user.name));
    } catch (error) {
      toast(error.message, "error");
      load(scene);
    }
  };
  // While a date is typed, it is many other dates in between, and those of the past are not meant.
  input.addEventListener("change", () => input.validity.valid && save());
  input.addEventListener("blur", () => {
    if (input.validity.badInput) input.value = stored;
    else save();
  });
  return h("span", { class: "filter" }, h("label", { for: "consent" }, t.consent), input);
}

const todayInUtc = () => new Date().toISOString().slice(0, 10);

function photoAdder(scene, user) {
  const uploads = h("ul", { class: "progress" });
  const input = h("input", { type: "file", id: "more", accept: "image/*", multiple: true, class: "visually-hidden" });
  const add = async (files) => {
    for (const line of uploads.querySelectorAll(".indexed")) line.remove();
    const changed = () => {
      forgetPeople();
      load(scene);
    };
    if (await uploadPhotos(files, { user_id: user.user_id }, uploads, changed)) changed();
  };
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    add(files);
  });
  const label = h("label", { for: "more", class: "button quiet" }, t.addPhotos);
  const node = h("div", { class: "add-photos" }, input, label, uploads);
  scene.view.addEventListener("dragover", (event) => event.preventDefault());
  scene.view.addEventListener("drop", (event) => {
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  return node;
}

function photoTile(scene, user, face) {
  const thumbnail = h("button", { type: "button", class: "thumbnail", "aria-label": t.open });
  thumbnail.addEventListener("click", () => showPhoto(face));
  showThumbnail(thumbnail, { ...face, name: "" });
  const badges = h("span");
  const date = h("span", { class: "note", title: dateTime(face.timestamp) }, day(face.timestamp));
  const move = actionButton(t.someoneElse, () => moveToOther(scene, user, face), "link");
  const remove = actionButton(t.deletePhoto, () => removePhoto(scene, user, face), "link");
  const caption = h("div", { class: "text" }, badges, date, h("span", { class: "actions" }, move, remove));
  return { faceId: face.face_id, badges, node: h("li", {}, h("div", { class: "tile" }, thumbnail, caption)) };
}

async function markIssues(tiles) {
  if (!(await usesOwnEngine())) return;
  const badgesByFace = new Map(tiles.map(({ faceId, badges }) => [faceId, badges]));
  const { findings } = await api.hygiene().catch(() => ({ findings: [] }));
  for (const { trouble, evidence, action, face_ids: faceIds } of findings) {
    for (const id of faceIds) {
      const badge = h("summary", { class: "badge" }, t.trouble[trouble] ?? trouble);
      badgesByFace
        .get(id)
        ?.append(h("details", {}, badge, h("p", { class: "note" }, serverSentence(trouble, `${evidence} ${action}`))));
    }
  }
}

async function moveToOther(scene, user, face) {
  const person = await askWhoElse(user, face);
  if (!person) return;
  const whose = person.user_id ? { user_id: person.user_id } : person;
  const moved = await api.move(face.image_path, whose);
  if (moved.status === "rejected") throw new Error(uploadNotes(moved).join(" "));
  forgetPeople();
  const back = () => takeBack(api.move(moved.image_path, { user_id: user.user_id, name: user.name }));
  toastWithUndo(t.moved(person.name), back);
  if (user.faces.length > 1) await load(scene);
  else location.hash = personLink(moved.user_id);
}

async function removePhoto(scene, user, face) {
  const isLast = user.faces.length === 1;
  const warning = isLast ? `${t.deleteLast(user.name)} ${t.deleteText}` : t.deleteText;
  if (!(await confirmed(t.deleteAsk, warning, t.deletePhoto))) return;
  await api.deleteFace(face.face_id);
  forgetPeople();
  if (!isLast) return load(scene);
  toast(t.deleted(user.name));
  location.hash = "#/people";
}

async function rename(scene, user) {
  const { user_id: userId, name: from } = user;
  const other = await askForName(user);
  if (!other || other.name === from) return;
  if (other.user_id) return mergeWithOther(user, other);
  await api.rename(userId, other.name);
  forgetPeople();
  toastWithUndo(t.renamed(other.name), () => takeBack(api.rename(userId, from)));
  await load(scene);
}

async function mergeWithOther(user, chosen = null) {
  const question = (other) => t.mergeText(user.name, user.faces.length, other.name, other.face_count);
  if (chosen && !(await confirmed(t.mergeAsk(user.name), question(chosen), t.merge))) return;
  const other = chosen ?? (await askForOther(user));
  if (!other) return;
  await api.merge(user.user_id, other.user_id);
  forgetPeople();
  toastWithUndo(t.merged(user.name, other.name), () => takeBack(api.unmerge(user.user_id)));
  location.hash = personLink(other.user_id);
}

async function takeBack(request) {
  await request;
  forgetPeople();
  dispatchEvent(new Event("hashchange")); // shows the current view afresh
}

async function forget({ view }, user) {
  const question = `${t.forgetText(user.faces.length)} ${t.forgetAll}`;
  if (!(await confirmed(t.forgetAsk(user.name), question, t.forget))) return;
  const receipt = await api.forget(user.user_id);
  forgetPeople();
  const { faces, images, recognitions, traces = [], timestamp, erasure_id: id } = receipt;
  const rows = [
    [t.receiptFaces, faces],
    [t.receiptPhotos, images],
    [t.receiptResults, recognitions],
    [t.receiptTime, dateTime(timestamp)],
    [t.receiptId, id],
  ];
  view.replaceChildren(
    h("h1", { dir: "auto" }, t.forgotten(user.name)),
    h("p", {}, faces === undefined ? t.forgetting : traces.length ? t.traces(traces.join(", ")) : t.nothingLeft),
    h("h2", {}, t.receipt),
    table(rows.filter(([, value]) => value !== undefined)),
    h("p", {}, h("a", { href: "#/people" }, `← ${t.title}`)),
  );
}
