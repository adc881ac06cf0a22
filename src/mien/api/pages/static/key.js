// Takes the API key: in the settings, or in a dialog over any view, so that nothing typed or chosen is lost.

import { apiKey, connection } from "./api.js";
import { h } from "./dom.js";
import { actionButton, runBusy, showDialog, toast } from "./feedback.js";
import { text } from "./strings.js";

const t = text.settings;

/** Build a form that uses the key entered in it; `onResult` is told whether the server accepted it. */
export function keyForm(id, onResult, { title = null, cancel = null, className = null } = {}) {
  const input = h("input", { id, type: "password", autocomplete: "off", value: apiKey.get() });
  const remember = h("input", { id: `${id}-remember`, type: "checkbox", checked: apiKey.isRemembered() });
  const help = h("p", { class: "note" }, t.keyHelp, " ", h("code", {}, "mien keys create NAME"));
  const keep = h("div", { class: "row" }, remember, h("label", { for: `${id}-remember` }, t.keyRemember));
  const problem = h("p", { class: "problem", role: "alert" });
  const button = h("button", {}, t.keySave);
  const onsubmit = (event) => {
    event.preventDefault();
    runBusy(button, async () => onResult(await useKey(input.value.trim(), remember.checked, problem)));
  };
  return h(
    "form",
    { class: className, onsubmit },
    title,
    h("div", { class: "field" }, h("label", { for: id }, t.key), input, help, keep, problem),
    h("div", { class: cancel ? "row end" : "row" }, cancel, button),
  );
}

async function useKey(value, remember, problem) {
  problem.textContent = "";
  try {
    await apiKey.use(value, { remember });
  } catch (error) {
    problem.textContent = error.message;
    return false;
  }
  toast(value ? t.keySaved : t.keyRemoved);
  return true;
}

async function askForKey() {
  const dialog = h("dialog", { "aria-labelledby": "key-dialog-title" });
  const closeIfAccepted = (accepted) => {
    if (accepted) dialog.close();
  };
  const form = keyForm("key-dialog-key", closeIfAccepted, {
    title: h("h2", { id: "key-dialog-title" }, text.enterKey),
    cancel: actionButton(text.cancel, () => dialog.close(), "quiet"),
  });
  dialog.append(form);
  await showDialog(dialog);
}

/** Show a banner while a key is missing or refused. */
export function watchKey(banner) {
  connection.addEventListener("key-needed", ({ detail: sentence }) => {
    if (banner.dataset.sentence === sentence && !banner.hidden) return; // replaced, it would be read aloud once more
    banner.dataset.sentence = sentence;
    banner.replaceChildren(sentence, " ", h("button", { class: "link", onclick: askForKey }, text.enterKey));
    banner.hidden = false;
  });
  connection.addEventListener("key-accepted", () => {
    banner.hidden = true;
  });
}
