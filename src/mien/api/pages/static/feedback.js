// Tells the user what happens: buttons that show they are busy, toasts, errors with a retry, dialogs.

import { connection } from "./api.js";
import { h } from "./dom.js";
import { text } from "./strings.js";

const TOAST_MS = 5000;
const ERROR_TOAST_MS = 9000;
const UNDO_TOAST_MS = 60_000;

export function toast(sentence, kind = "info") {
  // Twenty photos that fail for one reason need one sentence.
  const duplicate = [...document.querySelectorAll(".toast")].find((note) => note.textContent === sentence);
  duplicate?.remove();
  showToast(h("p", { class: `toast ${kind}` }, sentence), kind === "error" ? ERROR_TOAST_MS : TOAST_MS);
}

export function toastWithUndo(sentence, undo) {
  const note = h("p", { class: "toast" }, sentence);
  const undoAndClose = async () => {
    await undo();
    note.remove();
  };
  note.append(actionButton(text.undo, undoAndClose));
  showToast(note, UNDO_TOAST_MS);
}

function showToast(note, milliseconds) {
  document.getElementById("toasts").append(note);
  const expire = () => {
    if (note.matches(":hover, :focus-within")) setTimeout(expire, 2000);
    else note.remove();
  };
  setTimeout(expire, milliseconds);
}

/**
 * Do the work of a button unless it is under way; an error becomes a toast.
 *
 * The button is marked as busy instead of disabled, for a disabled one would lose the focus.
 */
export async function runBusy(button, work) {
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  button.ariaDisabled = "true";
  try {
    await work();
  } catch (error) {
    toast(error.message, "error");
  } finally {
    button.ariaBusy = "false";
    button.ariaDisabled = "false";
  }
}

export function actionButton(label, work, className = null) {
  return h(
    "button",
    { type: "button", class: className, onclick: ({ currentTarget }) => runBusy(currentTarget, work) },
    label,
  );
}

/** Build the "Try again" for an error. What failed for want of a key is tried again as soon as a key is accepted. */
export function retryButton(error, retry, className = null) {
  const button = actionButton(text.retry, retry, className);
  if (error.concernsKey) {
    const retryIfShown = () => button.isConnected && runBusy(button, retry);
    connection.addEventListener("key-accepted", retryIfShown, { once: true });
  }
  return button;
}

export const errorMessage = (error) => h("p", { class: "problem", role: "alert" }, error.message);

export const errorWithRetry = (error, retry) => [errorMessage(error), retryButton(error, retry)];

export function emptyState(title, sentence) {
  return h("section", { class: "empty" }, h("h2", {}, title), h("p", {}, sentence));
}

export function spinner(label = text.loading) {
  return h("p", { class: "busy", role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), label);
}

/** Ask a question; whether the user agreed. */
export async function confirmed(title, sentence, verb) {
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "question" }, title),
    h("p", {}, sentence),
    h(
      "div",
      { class: "row end" },
      h("button", { value: "", class: "quiet", autofocus: true }, text.cancel),
      h("button", { value: "yes", class: "danger" }, verb),
    ),
  );
  return (await showDialog(h("dialog", { "aria-labelledby": "question" }, form))) === "yes";
}

/** Show a dialog until it is closed. Returns the value of the button that closed it. */
export async function showDialog(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  dialog.remove();
  return dialog.returnValue;
}
