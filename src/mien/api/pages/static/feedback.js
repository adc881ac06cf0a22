// Tells the user what happens: buttons that show they are busy, toasts, errors with a retry, dialogs.

import { connection } from "./api.js";
import { h } from "./dom.js";
import { text } from "./strings.js";

const TOAST_MS = 5000;
const ERROR_TOAST_MS = 9000;
const UNDO_TOAST_MS = 15_000;
const MAX_TOASTS = 3;
const OWN_NAVIGATION_MS = 1500; // an action that goes to another view takes its own toast along

export function toast(sentence, kind = "info") {
  // Twenty photos that fail for one reason need one sentence.
  for (const note of document.querySelectorAll(".toast")) {
    if (note.firstChild.textContent === sentence) note.remove();
  }
  showToast(sentence, kind, kind === "error" ? ERROR_TOAST_MS : TOAST_MS);
}

/** Offer to undo what was done last; what was done before it can no longer be undone here. */
export function toastWithUndo(sentence, undo) {
  for (const note of document.querySelectorAll(".toast.undo")) note.remove();
  const undoAndClose = async () => {
    await undo();
    note.remove();
  };
  const note = showToast(sentence, "undo", UNDO_TOAST_MS, actionButton(text.undo, undoAndClose));
}

function showToast(sentence, kind, milliseconds, action = null) {
  const close = h("button", { type: "button", class: "close", "aria-label": text.close }, "×");
  const note = h("p", { class: `toast ${kind}` }, h("span", { dir: "auto" }, sentence), action, close);
  note.shownAt = Date.now();
  close.addEventListener("click", () => note.remove());
  const list = document.getElementById("toasts");
  list.append(note);
  while (list.children.length > MAX_TOASTS) list.firstChild.remove();
  const expire = () => {
    if (note.matches(":hover, :focus-within")) setTimeout(expire, 2000);
    else note.remove();
  };
  setTimeout(expire, milliseconds);
  return note;
}

/** Remove the toasts of the view that was left at `leftAt`; to be called when another one is shown. */
export function dismissOldToasts(leftAt) {
  for (const note of document.querySelectorAll(".toast")) {
    if (leftAt - note.shownAt > OWN_NAVIGATION_MS) note.remove();
  }
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

/**
 * Build the "Try again" for an error.
 *
 * What failed for want of a key is tried again as soon as a key is accepted, and what failed because the server was
 * away as soon as it is back; in a view that is kept meanwhile, when it is shown again.
 */
export function retryButton(error, retry, className = null) {
  const button = actionButton(text.retry, retry, className);
  const retryIfShown = () => {
    if (button.isConnected) runBusy(button, retry);
    else button.getRootNode().addEventListener("enter", retryIfShown, { once: true });
  };
  if (error.concernsKey) connection.addEventListener("key-accepted", retryIfShown, { once: true });
  if (error.status === 0) {
    const retryWhenBack = ({ detail: reachable }) => {
      if (!reachable) return;
      connection.removeEventListener("reachability", retryWhenBack);
      retryIfShown();
    };
    connection.addEventListener("reachability", retryWhenBack);
  }
  return button;
}

export const errorMessage = (error) => h("p", { class: "problem", role: "alert" }, error.message);

export const errorWithRetry = (error, retry) => [errorMessage(error), retryButton(error, retry)];

export function emptyState(title, sentence, ...more) {
  return h("section", { class: "empty" }, h("h2", {}, title), h("p", {}, sentence), ...more);
}

export function spinner(label = text.loading) {
  return h("p", { class: "busy", role: "status" }, h("span", { class: "dot", "aria-hidden": "true" }), label);
}

/** Ask a question; whether the user agreed. */
export async function confirmed(title, sentence, verb) {
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "question", dir: "auto" }, title),
    h("p", { dir: "auto" }, sentence),
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
