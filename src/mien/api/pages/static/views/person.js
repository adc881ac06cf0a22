// Shows one person: all photos with their quality; adds photos; renames or merges with undo; forgets with a receipt.

import { api } from "../api.js";
import { fieldTable, h, nameInput, nameOptions, personLink } from "../dom.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, confirmed, errorWithRetry, showDialog, spinner, toast, toastWithUndo } from "../feedback.js";
import { forgetNames, knownNames, usesOwnEngine } from "../state.js";
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
    if (!grid.isConnected) view.replaceChildren(head, photoAdder(scene), grid);
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
    h("div", { class: "grow" }, h("h1", { dir: "auto" }, user.user_id), h("p", { class: "note" }, summary)),
    consentField(scene, user),
    actionButton(t.rename, () => rename(scene, user), "quiet"),
    actionButton(t.forget, () => forget(scene, user), "danger"),
  );
}

function consentField(scene, user) {
  const input = h("input", { type: "date", id: "consent", value: user.consent_until ?? "" });
  input.addEventListener("change", async () => {
    try {
      const { consent_until: day } = await api.setConsent(user.user_id, input.value);
      toast(day ? t.consentSet(user.user_id, day) : t.consentOpen(user.user_id));
    } catch (error) {
      toast(error.message, "error");
      load(scene);
    }
  });
  return h("span", { class: "filter" }, h("label", { for: "consent" }, t.consent), input);
}

function photoAdder(scene) {
  const uploads = h("ul", { class: "progress" });
  const input = h("input", { type: "file", id: "more", accept: "image/*", multiple: true, class: "visually-hidden" });
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = "";
    for (const line of uploads.querySelectorAll(".indexed")) line.remove();
    if (await uploadPhotos(files, scene.userId, uploads, () => load(scene))) load(scene);
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
  const warning = isLast ? `${t.deleteLast(user.user_id)} ${t.deleteText}` : t.deleteText;
  if (!(await confirmed(t.deleteAsk, warning, t.deletePhoto))) return;
  await api.deleteFace(face.face_id);
  if (!isLast) return load(scene);
  forgetNames();
  toast(t.deleted(user.user_id));
  location.hash = "#/people";
}

async function rename(scene, user) {
  const from = user.user_id;
  const names = await knownNames().catch(() => []);
  const to = await askForName(from, names);
  if (!to || to === from) return;
  const paths = [...new Set(user.faces.map((face) => face.image_path))];
  const { moved, problem } = await movePhotos(paths, to);
  const whole = names.includes(to) ? t.merged(from, to) : t.renamed(to);
  const sentence = problem ? t.movedSome(moved.length, paths.length, to, problem) : whole;
  if (moved.length) toastWithUndo(sentence, () => moveBack(moved, from));
  else toast(sentence, "error");
  if (problem) return load(scene);
  location.hash = personLink(to);
}

async function moveBack(moved, userId) {
  const { problem } = await movePhotos(moved, userId);
  dispatchEvent(new Event("hashchange")); // shows the current view afresh
  if (problem) throw new Error(problem);
}

/** Move photos to another person until one fails. Returns the new paths of those moved, which can be moved back. */
async function movePhotos(paths, userId) {
  const moved = [];
  const progress = h("p", { class: "toast" });
  document.getElementById("toasts").append(progress);
  try {
    for (const path of paths) {
      progress.textContent = t.moving(moved.length + 1, paths.length);
      const upload = await api.movePhoto(path, userId);
      if (upload.status !== "indexed") return { moved, problem: upload.reasons.join(" ") };
      moved.push(upload.image_path);
    }
    return { moved };
  } catch (error) {
    return { moved, problem: error.message };
  } finally {
    progress.remove();
    forgetNames();
  }
}

async function askForName(current, names) {
  const input = nameInput({ id: "rename-to", value: current }, "rename-known");
  const dialog = h("dialog", { "aria-labelledby": "rename-title" });
  const hint = h("p", { class: "note" }, t.renameHint);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "rename-title" }, t.rename),
    h("div", { class: "field" }, h("label", { for: "rename-to" }, t.name), input, hint),
    h("datalist", { id: "rename-known" }, nameOptions(names)),
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
  if (!(await confirmed(t.forgetAsk(user.user_id), t.forgetText, t.forget))) return;
  const receipt = await api.forget(user.user_id);
  forgetNames();
  view.replaceChildren(
    h("h1", {}, t.forgotten(user.user_id)),
    h("h2", {}, t.receipt),
    fieldTable(receipt),
    h("a", { href: "#/people" }, t.title),
  );
}
