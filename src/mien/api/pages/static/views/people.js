// Shows all enrolled people with their best face, and the form that adds a person.

import { allPages, api } from "../api.js";
import { h, nameInput, personLink } from "../dom.js";
import { showThumbnail } from "../face-thumbnail.js";
import { emptyState, errorWithRetry, runBusy, spinner } from "../feedback.js";
import { forgetPeople } from "../state.js";
import { text } from "../strings.js";
import { uploadPhotos } from "../uploader.js";

const t = text.people;
const REMINDER_DAYS = 30;

export function render() {
  const grid = h("ul", { class: "grid" });
  const status = h("div", {}, spinner());
  const filter = h("input", { type: "search", placeholder: t.filter, "aria-label": t.filter });
  const noMatch = h("p", { class: "note", role: "status" });
  const reminders = h("section", { class: "panel", hidden: true });
  const people = { grid, status, filter, reminders };
  const form = addForm(() => load(people));
  filter.addEventListener("input", () => applyFilter(people, noMatch));
  const head = h("div", { class: "head" }, h("h1", {}, t.title), filter, toggleButton(form));
  load(people);
  return h("div", {}, head, form, reminders, noMatch, grid, status);
}

function toggleButton(form) {
  const button = h("button", { "aria-expanded": "false" }, t.add);
  button.addEventListener("click", () => {
    form.hidden = !form.hidden;
    button.ariaExpanded = String(!form.hidden);
    if (!form.hidden) form.querySelector("input").focus();
  });
  return button;
}

function applyFilter({ grid, filter }, noMatch) {
  const wanted = filter.value.trim();
  const items = [...grid.children];
  for (const item of items) item.hidden = !containsIgnoringCase(item.dataset.name, wanted);
  const nobody = items.length && items.every((item) => item.hidden);
  noMatch.textContent = nobody ? t.nobodyCalled(wanted) : "";
}

const containsIgnoringCase = (name, part) => name.toLocaleLowerCase().includes(part.toLocaleLowerCase());

async function load(people) {
  const { grid, status, filter, reminders } = people;
  try {
    const users = [];
    for await (const user of allPages(api.users, "users")) users.push(user);
    const tiles = users.map(personTile);
    grid.replaceChildren(...tiles);
    showReminders(reminders, users);
    filter.hidden = !tiles.length;
    status.replaceChildren(tiles.length ? "" : emptyState(t.none, t.noneText));
  } catch (error) {
    status.replaceChildren(...errorWithRetry(error, () => load(people)));
  }
}

/** List whom to ask for consent again: those whose consent ends within thirty days, the next one first. */
function showReminders(panel, users) {
  const soon = new Date(Date.now() + REMINDER_DAYS * 24 * 3600 * 1000).toISOString().slice(0, 10);
  const ending = users.filter((user) => user.consent_until && user.consent_until <= soon);
  ending.sort((a, b) => a.consent_until.localeCompare(b.consent_until));
  const items = ending.map((user) => {
    const link = h("a", { href: personLink(user.user_id), dir: "auto" }, user.name);
    return h("li", {}, link, ` ${t.consentEnds(user.consent_until)}`);
  });
  panel.hidden = !items.length;
  panel.replaceChildren(h("h2", {}, t.reminders), h("ul", {}, ...items));
}

function personTile(user) {
  const thumbnail = h("span", { class: "thumbnail" });
  if (user.best_face) showThumbnail(thumbnail, user.best_face);
  const name = h("strong", { dir: "auto" }, user.name);
  const count = h("span", { class: "note" }, t.count(user.face_count));
  const link = h(
    "a",
    { class: "tile", href: personLink(user.user_id) },
    thumbnail,
    h("span", { class: "text" }, name, count),
  );
  return h("li", { "data-name": user.name }, link);
}

function addForm(onChanged) {
  const name = nameInput({ id: "new-name", autocomplete: "off" });
  const photos = h("input", { id: "new-photos", type: "file", accept: "image/*", multiple: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const button = h("button", {}, t.save);
  const uploads = h("ul", { class: "progress" });
  const peopleChanged = () => {
    forgetPeople();
    onChanged();
  };
  const upload = async () => {
    uploads.replaceChildren();
    const files = [...photos.files];
    const indexed = await uploadPhotos(files, { name: name.value.trim() }, uploads, peopleChanged);
    if (indexed === files.length) photos.value = "";
    if (indexed) peopleChanged();
  };
  const onsubmit = (event) => {
    event.preventDefault();
    problem.textContent = missingInput(name.value.trim(), photos.files);
    if (!problem.textContent) runBusy(button, upload);
  };
  return h(
    "form",
    { class: "panel", hidden: true, onsubmit },
    h("div", { class: "field" }, h("label", { for: "new-name" }, t.name), name),
    h("div", { class: "field" }, h("label", { for: "new-photos" }, t.photos), photos),
    problem,
    button,
    uploads,
  );
}

function missingInput(name, files) {
  if (!name) return t.nameNeeded;
  return files.length ? "" : t.photosNeeded;
}
