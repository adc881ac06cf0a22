// The grid of people with their best face, and the form that adds one.

import { api, pages } from "../api.js";
import { empty, h, spinner } from "../dom.js";
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
  const view = h("div", {},
    h("div", { className: "head" }, h("h1", {}, t.title), find, h("button", { onclick: () => { form.hidden = !form.hidden; form.querySelector("input").focus(); } }, t.add)),
    form, grid, rest);
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLocaleLowerCase();
    for (const item of grid.children) item.hidden = !item.dataset.name.toLocaleLowerCase().includes(wanted);
  });
  fill(grid, rest);
  return view;
}

async function fill(grid, rest) {
  try {
    const tiles = [];
    for await (const user of pages(api.users, "users")) tiles.push(tile(user));
    grid.replaceChildren(...tiles);
    rest.replaceChildren(tiles.length ? "" : empty(t.none, t.noneText));
  } catch (error) {
    rest.replaceChildren(h("p", { className: "problem", role: "alert" }, error.message), h("button", { onclick: () => fill(grid, rest) }, text.recognise.again));
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
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = !name.value.trim() ? t.nameNeeded : !photos.files.length ? t.photosNeeded : "";
    if (problem.textContent) return;
    const button = form.querySelector("button");
    button.disabled = true;
    const taken = await uploader([...photos.files], name.value.trim(), list);
    button.disabled = false;
    knownNames.changed();
    if (taken) { photos.value = ""; done(); }
  });
  return form;
}
