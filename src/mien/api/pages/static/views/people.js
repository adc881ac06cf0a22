// Shows all enrolled people with their best face, sorted and counted, and the form that adds a person.

import { h, personLink } from "../dom.js";
import { showThumbnail } from "../face-thumbnail.js";
import { actionButton, emptyState, errorWithRetry, runBusy, spinner } from "../feedback.js";
import { compareNames, day } from "../format.js";
import { nameField } from "../name-field.js";
import { searchKey } from "../names.js";
import { forgetPeople, knownPeople, offers } from "../state.js";
import { device } from "../storage.js";
import { text } from "../strings.js";
import { uploadPhotos } from "../uploader.js";

const t = text.people;
const REMINDER_DAYS = 30;
const ORDER = "mien-people-order";

const ORDERS = {
  name: (a, b) => compareNames(a.name, b.name),
  newest: (a, b) => b.timestamp.localeCompare(a.timestamp),
  photos: (a, b) => b.face_count - a.face_count || compareNames(a.name, b.name),
};

export const keepAlive = true; // with it, the scroll position stays when a person was looked at

export function render(argument) {
  const people = {
    users: [],
    grid: h("ul", { class: "grid" }),
    status: h("div", {}, spinner()),
    filter: h("input", { type: "search", placeholder: t.filter, "aria-label": t.filter }),
    order: h("select", { "aria-label": t.order }),
    count: h("span", { class: "note", role: "status" }),
    noMatch: h("p", { class: "note", role: "status" }),
    reminders: h("section", { class: "panel", hidden: true }),
  };
  const { order, filter } = people;
  order.append(...Object.keys(ORDERS).map((key) => h("option", { value: key }, t.orders[key])));
  order.value = device.get(ORDER) in ORDERS ? device.get(ORDER) : "name";
  order.addEventListener("change", () => {
    device.set(ORDER, order.value);
    showTiles(people);
  });
  filter.addEventListener("input", () => applyFilter(people));
  const form = addForm(() => load(people));
  const button = toggleButton(form);
  const unnamed = offers("groups") && h("a", { href: "#/unnamed" }, text.unnamed.title);
  const title = h("div", { class: "grow" }, h("h1", {}, t.title), h("p", { class: "note" }, people.count, unnamed));
  const head = h("div", { class: "head" }, title, filter, order, button);
  const view = h("div", {}, head, form, people.reminders, people.noMatch, people.grid, people.status);
  view.addEventListener("enter", () => load(people));
  if (argument === "add") button.click();
  return view;
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

function applyFilter({ grid, filter, noMatch }) {
  const wanted = filter.value.trim();
  const items = [...grid.children];
  for (const item of items) item.hidden = !searchKey(item.dataset.name).includes(searchKey(wanted));
  const nobody = items.length && items.every((item) => item.hidden);
  noMatch.textContent = nobody ? t.nobodyCalled(wanted) : "";
}

async function load(people) {
  const { status, filter, order, count, reminders } = people;
  try {
    const users = await knownPeople();
    status.replaceChildren(users.length ? "" : emptyState(t.none, t.noneText));
    filter.hidden = order.hidden = !users.length;
    count.textContent = users.length ? `${text.peopleCount(users.length)} · ` : "";
    showReminders(reminders, users);
    if (users === people.users) return;
    people.users = users;
    showTiles(people);
  } catch (error) {
    status.replaceChildren(...errorWithRetry(error, () => load(people)));
  }
}

function showTiles(people) {
  people.grid.replaceChildren(...[...people.users].sort(ORDERS[people.order.value]).map(personTile));
  applyFilter(people);
}

/** List whom to ask for consent again: those whose consent ends within thirty days, the next one first. */
function showReminders(panel, users) {
  const soon = new Date(Date.now() + REMINDER_DAYS * 24 * 3600 * 1000).toISOString().slice(0, 10);
  const ending = users.filter((user) => user.consent_until && user.consent_until <= soon);
  ending.sort((a, b) => a.consent_until.localeCompare(b.consent_until));
  const items = ending.map((user) => {
    const link = h("a", { href: personLink(user.user_id), dir: "auto" }, user.name);
    return h("li", {}, link, ` ${t.consentEnds(day(user.consent_until))}`);
  });
  panel.hidden = !items.length;
  panel.replaceChildren(h("h2", {}, t.reminders), h("ul", {}, ...items));
}

function personTile(user) {
  const thumbnail = h("span", { class: "thumbnail" });
  if (user.best_face) showThumbnail(thumbnail, user.best_face);
  const name = h("strong", { dir: "auto", title: user.name }, user.name);
  const count = h("span", { class: "note" }, text.photos(user.face_count));
  const words = h("span", { class: "text" }, name, count);
  const link = h("a", { class: "tile", href: personLink(user.user_id) }, thumbnail, words);
  return h("li", { "data-name": user.name }, link);
}

function addForm(onChanged) {
  const name = nameField({ label: t.name, id: "new-name" });
  const photos = h("input", { id: "new-photos", type: "file", accept: "image/*", multiple: true });
  const folder = h("input", { type: "file", multiple: true, webkitdirectory: true, hidden: true });
  const chosen = h("p", { class: "note", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  const button = h("button", {}, t.save);
  const uploads = h("ul", { class: "progress" });
  let files = [];
  const take = (more) => {
    files = [...more].filter((file) => /^image\//.test(file.type) || /\.(hei[cf]|tiff?)$/i.test(file.name));
    problem.textContent = "";
    chosen.textContent = files.length ? text.photos(files.length) : t.photosNeeded;
  };
  photos.addEventListener("change", () => take(photos.files));
  folder.addEventListener("change", () => take(folder.files));
  const peopleChanged = () => {
    forgetPeople();
    onChanged();
  };
  const upload = async () => {
    const person = await name.answer();
    if (!person) return;
    if (!files.length) {
      problem.textContent = t.photosNeeded;
      return;
    }
    uploads.replaceChildren();
    const whose = person.user_id ? { user_id: person.user_id } : person;
    const indexed = await uploadPhotos(files, whose, uploads, peopleChanged);
    if (indexed) peopleChanged();
    if (indexed < files.length) return;
    photos.value = folder.value = name.input.value = chosen.textContent = "";
    files = [];
    name.input.focus();
  };
  const form = h(
    "form",
    { class: "panel", hidden: true },
    h("div", { class: "field" }, h("label", { for: "new-name" }, t.name), name.node),
    h(
      "div",
      { class: "field" },
      h("label", { for: "new-photos" }, t.photos),
      h(
        "div",
        { class: "row" },
        photos,
        actionButton(t.folder, () => folder.click(), "link"),
        folder,
      ),
      h("p", { class: "note" }, t.dropHere),
      chosen,
    ),
    problem,
    button,
    uploads,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem.textContent = "";
    runBusy(button, upload);
  });
  acceptDrops(form, take);
  return form;
}

/** Take dropped files; the folder's own files are taken by the chooser, for a drop names only the folder. */
function acceptDrops(form, take) {
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("drag-over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("drag-over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("drag-over");
    take(event.dataTransfer.files);
  });
}
