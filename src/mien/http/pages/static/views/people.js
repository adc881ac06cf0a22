// The grid of people with their best face, and the form that adds one.

import { api, pages } from "../api.js";
import { busy, empty, failure, h, spinner } from "../dom.js";
import { portrait } from "../portrait.js";
import { knownNames } from "../state.js";
import { text } from "../strings.js";
import { uploader } from "../uploader.js";

const t = text.people;

export function render() {
  const grid = h("ul", { className: "grid" });
  const rest = h("div", {}, spinner(text.recognise.working));
  const find = h("input", { type: "search", placeholder: t.filter, "aria-label": t.filter });
  const form = addForm(() => fill(grid, rest));
  const nobody = h("p", { className: "note", role: "status" });
  const add = h("button", { "aria-expanded": "false" }, t.add);
  add.addEventListener("click", () => {
    form.hidden = !form.hidden;
    add.ariaExpanded = String(!form.hidden);
    if (!form.hidden) form.querySelector("input").focus();
  });
  const view = h("div", {}, h("div", { className: "head" }, h("h1", {}, t.title), find, add), form, nobody, grid, rest);
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLocaleLowerCase();
    for (const item of grid.children) item.hidden = !item.dataset.name.toLocaleLowerCase().includes(wanted);
    const none = grid.children.length && [...grid.children].every((item) => item.hidden);
    nobody.textContent = none ? t.nobodyCalled(find.value.trim()) : "";
  });
  fill(grid, rest);
  return view;
}

async function fill(grid, rest) {
  try {
    const tiles = [];
    for await (const user of pages(api.users, "users")) tiles.push(tile(user));
    grid.replaceChildren(...tiles);
    grid.parentElement.querySelector("[type=search]").hidden = !tiles.length;
    rest.replaceChildren(tiles.length ? "" : empty(t.none, t.noneText));
  } catch (error) {
    rest.replaceChildren(...failure(error, () => fill(grid, rest)));
  }
}

function tile(user) {
  const pic = h("span", { className: "pic" });
  if (user.best_face) portrait(pic, user.best_face);
  return h("li", { dataset: { name: user.user_id } },
    h("a", { className: "tile", href: `#/person/${encodeURIComponent(user.user_id)}` }, pic,
      h("span", { className: "text" }, h("strong", { dir: "auto" }, user.user_id), h("span", { className: "note" }, t.count(user.face_count)))));
}

function addForm(done) {
  const name = h("input", { id: "new-name", maxLength: 80, dir: "auto", autocomplete: "off" });
  const photos = h("input", { id: "new-photos", type: "file", accept: "image/*", multiple: true });
  const problem = h("p", { className: "problem", role: "alert" });
  const list = h("ul", { className: "progress" });
  const form = h("form", { className: "panel", hidden: true },
    h("div", { className: "field" }, h("label", { htmlFor: "new-name" }, t.name), name),
    h("div", { className: "field" }, h("label", { htmlFor: "new-photos" }, t.photos), photos),
    problem, h("button", {}, t.save), list);
  const changed = () => { knownNames.changed(); done(); };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem.textContent = !name.value.trim() ? t.nameNeeded : !photos.files.length ? t.photosNeeded : "";
    if (problem.textContent) return;
    busy(event.submitter ?? form.querySelector("button"), async () => {
      list.replaceChildren();
      const taken = await uploader([...photos.files], name.value.trim(), list, changed);
      if (taken === photos.files.length) photos.value = "";
      if (taken) changed();
    });
  });
  return form;
}
