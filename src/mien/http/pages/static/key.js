// Asks for the API key over whatever is shown, so that nothing typed or chosen is lost; and says when one is missing.

import { key } from "./api.js";
import { action, asked, busy, h, toast } from "./dom.js";
import { text } from "./strings.js";

const t = text.settings;

export function keyField(id) {
  const input = h("input", { id, type: "password", autocomplete: "off", value: key.get() });
  const problem = h("p", { className: "problem", role: "alert" });
  return { input, problem, field: h("div", { className: "field" }, h("label", { htmlFor: id }, t.key), input, h("p", { className: "note" }, t.keyHelp), problem) };
}

// Whether the server took it; if not, the sentence why stands under the field.
export async function use({ input, problem }) {
  const wanted = input.value.trim();
  problem.textContent = "";
  try {
    await key.try(wanted);
    toast(wanted ? t.keySaved : t.keyGone);
    return true;
  } catch (error) {
    problem.textContent = error.message;
    return false;
  }
}

async function ask() {
  const parts = keyField("asked-key");
  const button = h("button", {}, t.keySave);
  const form = h("form", {}, h("h2", { id: "ask-key" }, text.enterKey), parts.field,
    h("div", { className: "row end" }, action(text.cancel, () => dialog.close(), "quiet"), button));
  const dialog = h("dialog", { "aria-labelledby": "ask-key" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(button, async () => { if (await use(parts)) dialog.close(); });
  });
  await asked(dialog);
}

export function watchKey(banner, main) {
  document.addEventListener("key-needed", ({ detail }) => {
    if (banner.dataset.sentence === detail && !banner.hidden) return;
    banner.dataset.sentence = detail;
    banner.replaceChildren(detail, " ", h("button", { className: "link", onclick: ask }, text.enterKey));
    banner.hidden = false;
  });
  document.addEventListener("key-accepted", () => {
    banner.hidden = true;
    main.querySelectorAll(".again").forEach((button) => button.click());
  });
}
