// Asks about a person: the new name, whom to merge with, whom a photo shows.

import { h } from "./dom.js";
import { showThumbnail } from "./face-thumbnail.js";
import { actionButton, runBusy, showDialog } from "./feedback.js";
import { nameField } from "./name-field.js";
import { text } from "./strings.js";

const t = text.people;

/** Ask for another name. Returns the person of that name if there is one, else `{ name }`; null if nothing is changed. */
export const askForName = (user) =>
  ask({ title: t.rename, label: t.name, verb: t.rename, value: user.name, without: user.user_id, hint: t.renameHint });

/** Ask whom a photo shows. Returns that person, or `{ name }` of somebody new; null if the question is cancelled. */
export const askWhoElse = (user, face) =>
  ask({ title: t.someoneElse, label: t.whoElse, verb: t.move, without: user.user_id, faces: [face] });

/** Ask with whom a person is the same, both faces side by side. Returns that person, or null. */
export async function askForOther(user) {
  const face = user.faces[0];
  return ask({
    title: t.mergeAsk(user.name),
    label: t.mergeWith,
    verb: t.merge,
    without: user.user_id,
    onlyKnown: true,
    faces: [face, null],
    describe: (other) => t.mergeText(user.name, user.faces.length, other.name, other.face_count),
  });
}

async function ask({ title, label, verb, value, without, hint = "", onlyKnown = false, faces = [], describe }) {
  const pair = h("div", { class: "pair" }, ...faces.map(bigFace));
  const note = h("p", { class: "note", role: "status" }, hint);
  const onChosen = (person) => {
    if (!describe) return;
    note.textContent = describe(person);
    pair.lastChild.replaceWith(bigFace(person.best_face));
  };
  const field = nameField({ id: "asked-name", value, without, onlyKnown, onChosen });
  const dialog = h("dialog", { "aria-labelledby": "asked" });
  const button = h("button", {}, verb);
  let answer = null;
  const decide = async () => {
    answer = await field.answer();
    if (answer) dialog.close();
  };
  const onsubmit = (event) => {
    event.preventDefault();
    runBusy(button, decide);
  };
  const cancel = actionButton(text.cancel, () => dialog.close(), "quiet");
  dialog.append(
    h(
      "form",
      { onsubmit },
      h("h2", { id: "asked", dir: "auto" }, title),
      faces.length > 0 && pair,
      h("div", { class: "field" }, h("label", { for: "asked-name" }, label), field.node, note),
      h("div", { class: "row end" }, cancel, button),
    ),
  );
  const closed = showDialog(dialog);
  field.input.select();
  await closed;
  return answer;
}

function bigFace(face) {
  const thumbnail = h("span", { class: "thumbnail" });
  if (face) showThumbnail(thumbnail, face);
  else thumbnail.append("?");
  return thumbnail;
}
