// Builds elements. Text is always set as text, so a name can never become markup.

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

export function toast(text, kind = "info") {
  show(h("p", { className: `toast ${kind}` }, text), kind === "error" ? 9000 : 5000);
}

export function undoable(text, label, undo) {
  const press = async () => { note.remove(); await undo().catch((error) => toast(error.message, "error")); };
  const note = h("p", { className: "toast" }, text, h("button", { onclick: press }, label));
  show(note, 15_000);
}

function show(note, milliseconds) {
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), milliseconds);
}

export function empty(title, text, ...actions) {
  return h("section", { className: "empty" }, h("h2", {}, title), h("p", {}, text), actions);
}

export function spinner(label) {
  return h("p", { className: "busy", role: "status" }, h("span", { className: "dot", "aria-hidden": "true" }), label);
}

export async function confirmed(title, text, action) {
  const dialog = h("dialog", { "aria-labelledby": "ask" },
    h("form", { method: "dialog" },
      h("h2", { id: "ask" }, title), h("p", {}, text),
      h("div", { className: "row end" },
        h("button", { value: "", className: "quiet", autofocus: true }, "Cancel"),
        h("button", { value: "yes", className: "danger" }, action))));
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  dialog.remove();
  return dialog.returnValue === "yes";
}
