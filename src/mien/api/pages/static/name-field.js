// A field for a person's name that suggests people with their faces, and knows that "tom" is Tom.

import { h } from "./dom.js";
import { showThumbnail } from "./face-thumbnail.js";
import { peopleLike, personCalled, searchKey } from "./names.js";
import { knownPeople } from "./state.js";
import { text } from "./strings.js";

const MAX_SUGGESTIONS = 6;
const t = text.names;

let count = 0;

/**
 * Build the field. Returns `{ node, input, answer }`.
 *
 * `answer()` is the chosen person, `{ name }` of a new one, or null with a sentence at the field that says what is
 * missing. `without` is a user id that is not suggested; with `onlyKnown` a new name is no answer. `onChosen` is called
 * with each person that is chosen.
 */
export function nameField({ label, id = null, value = "", without = null, onlyKnown = false, onChosen = () => {} }) {
  count += 1;
  const listId = `suggested-${count}`;
  const input = h("input", {
    id,
    value,
    maxlength: 80,
    dir: "auto",
    autocomplete: "off",
    role: "combobox",
    "aria-expanded": "false",
    "aria-controls": listId,
    "aria-autocomplete": "list",
    placeholder: id ? null : label,
    "aria-label": id ? null : label,
  });
  const list = h("ul", {
    id: listId,
    class: "suggestions",
    role: "listbox",
    "aria-label": t.suggestions,
    hidden: true,
  });
  const note = h("p", { class: "note", role: "status" });
  const field = { input, list, note, people: [], shown: [], active: -1, without, onlyKnown, onChosen };
  input.addEventListener("focus", () => offer(field, true));
  input.addEventListener("input", () => offer(field));
  input.addEventListener("keydown", (event) => moveOrChoose(field, event));
  input.addEventListener("blur", () => hide(field));
  const node = h("div", { class: "name-field" }, input, list, note);
  return { node, input, answer: () => answer(field) };
}

async function offer(field, keepsNote = false) {
  const { input, without } = field;
  field.people = (await knownPeople().catch(() => [])).filter((person) => person.user_id !== without);
  if (document.activeElement !== input) return;
  const typed = input.value.trim();
  field.shown = typed || field.onlyKnown ? peopleLike(field.people, typed, MAX_SUGGESTIONS) : [];
  field.active = -1;
  field.list.replaceChildren(...field.shown.map((person, i) => suggestion(field, person, i)));
  field.list.hidden = !field.shown.length;
  input.ariaExpanded = String(!field.list.hidden);
  input.removeAttribute("aria-activedescendant");
  if (!keepsNote) field.note.textContent = remark(field, typed);
}

function remark({ people }, typed) {
  if (!typed) return "";
  const known = personCalled(people, typed);
  if (known) return known.name === typed ? "" : t.same(known.name);
  const alike = people.find((person) => searchKey(person.name) === searchKey(typed));
  return alike ? t.alike(alike.name) : "";
}

function suggestion(field, person, i) {
  const thumbnail = h("span", { class: "thumbnail" });
  if (person.best_face) showThumbnail(thumbnail, person.best_face);
  // Not on click: by then, the field has lost the focus, and the list is gone.
  const onpointerdown = (event) => {
    event.preventDefault();
    choose(field, person);
  };
  const id = `${field.list.id}-${i}`;
  return h("li", { id, role: "option", onpointerdown }, thumbnail, h("span", { dir: "auto" }, person.name));
}

function moveOrChoose(field, event) {
  const { key, isComposing } = event;
  if (isComposing || field.list.hidden) return;
  if (key === "ArrowDown" || key === "ArrowUp") {
    const steps = field.shown.length + 1; // one of them stands for the field itself
    const next = field.active + 1 + (key === "ArrowDown" ? 1 : -1);
    activate(field, ((next + steps) % steps) - 1);
  } else if (key === "Enter" && field.active >= 0) choose(field, field.shown[field.active]);
  else if (key === "Escape") hide(field);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function activate(field, i) {
  field.active = i;
  const options = [...field.list.children];
  for (const [j, option] of options.entries()) option.ariaSelected = String(i === j);
  if (i < 0) return field.input.removeAttribute("aria-activedescendant");
  field.input.setAttribute("aria-activedescendant", options[i].id);
  options[i].scrollIntoView({ block: "nearest" });
}

function choose(field, person) {
  field.input.value = person.name;
  field.note.textContent = "";
  hide(field);
  field.onChosen(person);
}

function hide({ list, input }) {
  list.hidden = true;
  input.ariaExpanded = "false";
}

async function answer(field) {
  const name = field.input.value.normalize("NFC").replace(/\s+/g, " ").trim();
  if (!name) return refuse(field, text.people.nameNeeded);
  const people = (await knownPeople().catch(() => [])).filter((person) => person.user_id !== field.without);
  const known = personCalled(people, name);
  if (!known && field.onlyKnown) return refuse(field, text.people.nobodyCalled(name));
  return known ?? { name };
}

function refuse({ note, input }, sentence) {
  note.textContent = sentence;
  input.focus();
  return null;
}
