// Shows one person: all photos with their quality; adds photos; renames or merges with undo; forgets with a receipt.

import { api } from "../api.js";
import { fieldTable, h, nameInput, nameOptions, personLink } from "../dom.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, confirmed, errorWithRetry, showDialog, spinner, toast, toastWithUndo } from "../feedback.js";
import { forgetPeople, knownPeople, usesOwnEngine } from "../state.js";
import { text } from "../strings.js";
import { uploadPhotos } from "../uploader.js";

const t = text.people;

export function render(userId) {
  const scene = { userId, view: h("div", {}, spinner()), head: h("div"), grid: h("ul", { class: "grid" }) };
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
    // Once shown, the lines of an upload stay.
    if (!grid.isConnected) view.replaceChildren(head, photoAdder(scene, user), grid);
    markIssues(tiles);
  } catch (error) {
    view.replaceChildren(h("h1", { dir: "auto" }, userId), ...errorWithRetry(error, () => load(scene)));
  }
}

function personHead(scene, user) {
  const lastSeen = user.last_seen ? new Date(user.last_seen).toLocaleString() : t.never;
  const summary = `${t.count(user.faces.length)} · ${t.lastSeen} ${lastSeen}`;
  return h(
    "div",
    { class: "head" },
    h("div", { class: "grow" }, h("h1", { dir: "auto" }, user.name), h("p", { class: "note" }, summary)),
    consentField(scene, user),
    actionButton(t.rename, () => rename(scene, user), "quiet"),
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
      const { consent_until: day } = await api.setConsent(user.user_id, stored);
      toast(day ? t.consentSet(user.name, day) : t.consentOpen(user.name));
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
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    for (const line of uploads.querySelectorAll(".indexed")) line.remove();
    if (await uploadPhotos(files, { user_id: user.user_id }, uploads, () => load(scene))) load(scene);
  });
  return h(
    "div",
    { class: "add-photos" },
    input,
    h("label", { for: "more", class: "button quiet" }, t.addPhotos),
    uploads,
  );
}

function photoTile(scene, user, face) {
  const thumbnail = h("span", { class: "thumbnail" });
  showThumbnail(thumbnail, face);
  const badges = h("span");
  const date = h("span", { class: "note" }, new Date(face.timestamp).toLocaleDateString());
  const remove = actionButton(t.deletePhoto, () => removePhoto(scene, user, face), "link");
  const caption = h("span", { class: "text" }, badges, h("span", { class: "foot" }, date, remove));
  return { faceId: face.face_id, badges, node: h("li", {}, h("div", { class: "tile" }, thumbnail, caption)) };
}

async function markIssues(tiles) {
  if (!(await usesOwnEngine())) return;
  const badgesByFace = new Map(tiles.map(({ faceId, badges }) => [faceId, badges]));
  const { findings } = await api.hygiene().catch(() => ({ findings: [] }));
  for (const { trouble, evidence, action, face_ids: faceIds } of findings) {
    for (const id of faceIds) {
      const badge = h("span", { class: "badge", title: `${evidence} ${action}` }, t.trouble[trouble] ?? trouble);
      badgesByFace.get(id)?.append(badge, " ");
    }
  }
}

async function removePhoto(scene, user, face) {
  const isLast = user.faces.length === 1;
  const warning = isLast ? `${t.deleteLast(user.name)} ${t.deleteText}` : t.deleteText;
  if (!(await confirmed(t.deleteAsk, warning, t.deletePhoto))) return;
  await api.deleteFace(face.face_id);
  if (!isLast) return load(scene);
  forgetPeople();
  toast(t.deleted(user.name));
  location.hash = "#/people";
}

async function rename(scene, user) {
  const { user_id: userId, name: from } = user;
  const people = await knownPeople().catch(() => []);
  const to = await askForName(from, people);
  if (!to || to === from) return;
  try {
    await api.rename(userId, to);
  } catch (error) {
    if (error.status !== 409) throw error;
    return merge(user, to, error);
  }
  forgetPeople();
  toastWithUndo(t.renamed(to), () => takeBack(api.rename(userId, from)));
  await load(scene);
}

async function merge(user, name, conflict) {
  forgetPeople(); // the other person may have come, or got this name, since people were listed
  const other = (await knownPeople()).find((person) => person.name === name);
  if (!other) throw conflict; // the name only looks like that of another person
  await api.merge(user.user_id, other.user_id);
  forgetPeople();
  toastWithUndo(t.merged(user.name, name), () => takeBack(api.unmerge(user.user_id)));
  location.hash = personLink(other.user_id);
}

async function takeBack(request) {
  await request;
  forgetPeople();
  dispatchEvent(new Event("hashchange")); // shows the current view afresh
}

async function askForName(current, people) {
  const input = nameInput({ id: "rename-to", value: current }, "rename-known");
  const dialog = h("dialog", { "aria-labelledby": "rename-title" });
  const hint = h("p", { class: "note" }, t.renameHint);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "rename-title" }, t.rename),
    h("div", { class: "field" }, h("label", { for: "rename-to" }, t.name), input, hint),
    h("datalist", { id: "rename-known" }, nameOptions(people)),
    h(
      "div",
      { class: "row end" },
      actionButton(text.cancel, () => dialog.close(), "quiet"),
      h("button", { value: "yes" }, t.rename),
    ),
  );
  dialog.append(form);
  const answer = showDialog(dialog);
  input.select();
  return (await answer) === "yes" ? input.value.trim() : null;
}

async function forget({ view }, user) {
  if (!(await confirmed(t.forgetAsk(user.name), t.forgetText, t.forget))) return;
  const receipt = await api.forget(user.user_id);
  forgetPeople();
  view.replaceChildren(
    h("h1", {}, t.forgotten(user.name)),
    h("h2", {}, t.receipt),
    fieldTable(receipt),
    h("a", { href: "#/people" }, t.title),
  );
}
