// Shows the people whom nobody has named, as groups of their faces: who is it, nobody of interest, no face, two people.

import { api } from "../api.js";
import { h } from "../dom.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, confirmed, emptyState, errorWithRetry, runBusy, spinner, toastWithUndo } from "../feedback.js";
import { ago, dateTime } from "../format.js";
import { nameField } from "../name-field.js";
import { forgetPeople } from "../state.js";
import { text } from "../strings.js";

const t = text.unnamed;
const MAX_SHOWN = 8; // of the clearest faces
const GROUPS_PAGE = 50;
const MAX_PAGE = 1000;
const GONE = ["urn:mien:group-named", "urn:mien:group-not-found"];

export function render() {
  const scene = { list: h("div", { class: "cards" }), rest: h("div", {}, spinner()) };
  load(scene);
  const back = h("p", { class: "back" }, h("a", { href: "#/people" }, `← ${text.people.title}`));
  const head = h("div", { class: "head" }, h("div", {}, h("h1", {}, t.title), h("p", { class: "note" }, t.lead)));
  return h("div", { class: "unnamed" }, back, head, scene.list, scene.rest);
}

/** Show the groups anew, as many as were shown before, or the next ones after a cursor. */
async function load(scene, cursor) {
  const { list, rest } = scene;
  try {
    const shown = cursor ? 0 : list.children.length;
    const limit = Math.min(Math.max(shown, GROUPS_PAGE), MAX_PAGE);
    const { groups, next_cursor: next } = cursor ? await api.groups({ cursor, limit }) : await firstGroups(limit);
    const cards = groups.map((group) => groupCard(scene, group));
    if (cursor) list.append(...cards);
    else list.replaceChildren(...cards);
    if (cursor) cards[0]?.querySelector("input").focus();
    rest.replaceChildren(...whatFollows(scene, next));
  } catch (error) {
    rest.replaceChildren(...errorWithRetry(error, () => load(scene, cursor)));
  }
}

/** Show the groups anew, and go on with one of them. */
async function loadAndFocus(scene, groupId) {
  await load(scene);
  scene.list.querySelector(`[data-id="${CSS.escape(groupId)}"] input`)?.focus();
}

function whatFollows(scene, next) {
  if (next) return [actionButton(text.history.more, () => load(scene, next), "quiet")];
  return scene.list.children.length ? [] : [emptyState(t.none, t.noneText)];
}

/** List the first groups; where there are none, group first what was uploaded before Mien grouped anything. */
async function firstGroups(limit) {
  const found = await api.groups({ limit });
  if (found.groups.length || !(await api.groupFaces()).faces) return found;
  return api.groups({ limit });
}

function groupCard(scene, group) {
  const card = h("article", { class: "panel group", "data-id": group.group_id });
  const target = { scene, group, card };
  const faces = h("div", { class: "faces-of-group" }, ...group.best.slice(0, MAX_SHOWN).map(faceTile));
  const seen = h("time", { datetime: group.last_seen, title: dateTime(group.last_seen) }, ago(group.last_seen));
  card.append(
    h("h2", {}, `${text.recognize.faces(group.faces)} · `, seen),
    faces,
    nameForm(target),
    h(
      "div",
      { class: "row" },
      actionButton(t.skip, () => skip(target), "link"),
      group.faces > 1 && actionButton(t.two, () => chooseSecond(target, faces), "link"),
      actionButton(t.notFace, () => dismiss(target), "link"),
    ),
  );
  return card;
}

function faceTile(face) {
  const thumbnail = h("span", { class: "thumbnail" });
  showThumbnail(thumbnail, face);
  return thumbnail;
}

function nameForm(target) {
  const field = nameField({ label: text.recognize.who });
  const button = h("button", { class: "soft" }, text.recognize.save);
  const submit = async () => {
    const person = await field.answer();
    if (person) await name(target, person);
  };
  const onsubmit = (event) => {
    event.preventDefault();
    runBusy(button, submit);
  };
  return h("form", { class: "name-form", onsubmit }, field.node, button);
}

async function name({ scene, group, card }, person) {
  const who = person.user_id ? { user_id: person.user_id } : { name: person.name };
  const naming = await current(scene, api.nameGroup(group.group_id, who));
  const { group_id: id, name: given, enrolled, left } = naming;
  forgetPeople();
  toastWithUndo(`${t.named(given, enrolled)} ${left ? t.left(left) : ""}`.trim(), async () => {
    await api.unnameGroup(id);
    forgetPeople();
    await loadAndFocus(scene, id);
  });
  if (left) await load(scene);
  else leave(scene, card);
}

async function skip({ scene, group, card }) {
  await current(scene, api.skipGroup(group.group_id, true));
  toastWithUndo(t.skipped, async () => {
    await api.skipGroup(group.group_id, false);
    await loadAndFocus(scene, group.group_id);
  });
  leave(scene, card);
}

async function dismiss({ scene, group, card }) {
  if (!(await confirmed(t.notFaceAsk, t.notFaceText(group.faces), t.notFace))) return;
  await current(scene, api.dismissGroup(group.group_id));
  leave(scene, card);
}

/** Await a request about a group; if others named or removed it meanwhile, show what there is now. */
async function current(scene, request) {
  try {
    return await request;
  } catch (error) {
    if (GONE.includes(error.problem?.type)) await load(scene);
    throw error;
  }
}

/** Remove a card, and go on to the next one. */
function leave(scene, card) {
  const next = (card.nextElementSibling ?? card.previousElementSibling)?.querySelector("input");
  card.remove();
  if (next) next.focus();
  else load(scene);
}

/** Let the faces of the second person be pressed; with none pressed, Mien divides the group by likeness. */
async function chooseSecond({ scene, group }, container) {
  const chosen = new Set();
  const more = h("span", { class: "more" });
  const showFaces = async (cursor) => {
    const { faces, next_cursor: next } = await current(scene, api.facesOfGroup(group.group_id, cursor));
    const shown = container.querySelectorAll("button.thumbnail").length;
    const buttons = faces.map((face, i) => faceButton(face, shown + i + 1, chosen));
    more.before(...buttons);
    more.replaceChildren(next ? actionButton(text.history.more, () => showFaces(next), "quiet") : "");
    buttons[0]?.focus();
  };
  const split = async () => {
    await current(scene, api.splitGroup(group.group_id, [...chosen]));
    await loadAndFocus(scene, group.group_id);
  };
  const cancel = actionButton(text.cancel, () => loadAndFocus(scene, group.group_id), "quiet");
  const row = h("div", { class: "row" }, actionButton(t.split, split), cancel);
  const tiles = [...container.children];
  container.replaceChildren(h("p", { class: "note" }, t.splitHint), more, row);
  try {
    await showFaces();
  } catch (error) {
    container.replaceChildren(...tiles);
    throw error;
  }
}

function faceButton(face, number, chosen) {
  const button = h("button", {
    type: "button",
    class: "thumbnail",
    "aria-pressed": "false",
    "aria-label": String(number),
  });
  showThumbnail(button, face);
  button.addEventListener("click", () => {
    if (!chosen.delete(face.face_id)) chosen.add(face.face_id);
    button.ariaPressed = String(chosen.has(face.face_id));
  });
  return button;
}
