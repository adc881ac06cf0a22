// Builds elements. Text is always set as text, so a name can never become markup.

import { text } from "./strings.js";

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name in node && !name.includes("-") && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function place(node, { left, top, width, height }) {
  // Through the CSSOM: a style attribute would be refused by the Content-Security-Policy.
  Object.assign(node.style, {
    left: `${left * 100}%`, top: `${top * 100}%`, width: `${width * 100}%`, height: `${height * 100}%`,
  });
  return node;
}

export function toast(sentence, kind = "info") {
  const same = [...document.querySelectorAll(".toast")].find((note) => note.textContent === sentence);
  same?.remove(); // twenty photos that fail for one reason need one sentence
  show(h("p", { className: `toast ${kind}` }, sentence), kind === "error" ? 9000 : 5000);
}

export function undoable(sentence, undo) {
  const press = async (event) => { await busy(event.currentTarget, undo); note.remove(); };
  const note = h("p", { className: "toast" }, sentence, h("button", { onclick: press }, text.undo));
  show(note, 60_000);
}

// The button says that it works and does not start twice; it keeps the focus, which a disabled one loses.
export async function busy(button, work) {
  if (button.ariaBusy === "true") return;
  button.ariaBusy = button.ariaDisabled = "true";
  try {
    await work();
  } catch (error) {
    toast(error.message, "error");
  } finally {
    button.ariaBusy = button.ariaDisabled = "false";
  }
}

export function action(label, work, className = "") {
  return h("button", { type: "button", className, onclick: (event) => busy(event.currentTarget, work) }, label);
}

export function failure(error, again) {
  return [h("p", { className: "problem", role: "alert" }, error.message), action(text.again, again, "again")];
}

function show(note, milliseconds) {
  document.getElementById("toasts").append(note);
  const leave = () => (note.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : note.remove());
  setTimeout(leave, milliseconds);
}

export function empty(title, sentence, ...actions) {
  return h("section", { className: "empty" }, h("h2", {}, title), h("p", {}, sentence), actions);
}

export function spinner(label) {
  return h("p", { className: "busy", role: "status" }, h("span", { className: "dot", "aria-hidden": "true" }), label);
}

export async function confirmed(title, sentence, verb) {
  const dialog = h("dialog", { "aria-labelledby": "ask" },
    h("form", { method: "dialog" },
      h("h2", { id: "ask" }, title), h("p", {}, sentence),
      h("div", { className: "row end" },
        h("button", { value: "", className: "quiet", autofocus: true }, text.cancel),
        h("button", { value: "yes", className: "danger" }, verb))));
  return (await asked(dialog)) === "yes";
}

export async function asked(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  dialog.remove();
  return dialog.returnValue;
}
