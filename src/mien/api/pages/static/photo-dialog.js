// Shows a stored photo whole.

import { fetchPhoto } from "./api.js";
import { h, placeAt } from "./dom.js";
import { actionButton, errorMessage, showDialog, spinner } from "./feedback.js";
import { text } from "./strings.js";

/** Show the photo of an enrolled face until the dialog is closed. */
export async function showPhoto(face) {
  const figure = h("figure", { class: "photo" }, spinner());
  const dialog = h("dialog", { class: "viewer", "aria-label": face.name ?? text.people.photos }, figure);
  dialog.append(
    h(
      "div",
      { class: "row end" },
      actionButton(text.close, () => dialog.close(), "quiet"),
    ),
  );
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  const closed = showDialog(dialog);
  let url = null;
  try {
    url = await fetchPhoto(face.image_path);
    const image = h("img", { src: url, alt: face.name ?? "" });
    await image.decode();
    figure.replaceChildren(image, placeAt(h("div", { class: "box matched" }), face.bounding_box));
  } catch (error) {
    figure.replaceChildren(errorMessage(error));
  }
  await closed;
  if (url) URL.revokeObjectURL(url);
}
