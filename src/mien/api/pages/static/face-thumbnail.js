// Shows the face of a stored photo, cropped to its box; the photo is loaded when it is scrolled into view.

import { connection, fetchPhoto } from "./api.js";
import { h } from "./dom.js";
import { cropFace } from "./photo.js";

const MARGIN = 0.3;

const facesByContainer = new WeakMap();
let observer = null;

/** Fill a container with the face once it comes near the visible part of the page. */
export function showThumbnail(container, face) {
  observer ??= new IntersectionObserver(loadVisible, { rootMargin: "300px" });
  facesByContainer.set(container, face);
  observer.observe(container);
}

function loadVisible(entries) {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    load(target, facesByContainer.get(target));
  }
}

async function load(container, face) {
  try {
    const url = await fetchPhoto(face.image_path);
    const image = h("img", { src: url });
    await image.decode();
    const canvas = cropFace(image, face.bounding_box, MARGIN);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", face.name ?? "");
    container.replaceChildren(canvas);
    URL.revokeObjectURL(url);
  } catch (error) {
    if (error.status === 401) connection.addEventListener("key-accepted", () => load(container, face), { once: true });
    container.replaceChildren(); // the photo was deleted, or this key may not see it: the tile stays empty
  }
}
