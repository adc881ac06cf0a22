// Shows the face of a stored photo once it is scrolled into view. An enrolled face comes cut out of its photo; of any
// other, such as one in the history, the photo is loaded and cropped to its box.

import { connection, fetchFace, fetchPhoto } from "./api.js";
import { h } from "./dom.js";
import { createCanvas, cropFace } from "./photo.js";

const MARGIN = 0.3;
const MAX_KEPT = 400; // suggestions and lists show the same faces again and again
const SIZE = 320;
const WHOLE = { left: 0, top: 0, width: 1, height: 1 };

const facesByContainer = new WeakMap();
const kept = new Map(); // by face id, the least recently shown first
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
    const canvas = copy(kept.get(face.face_id) ?? (await crop(face)));
    if (face.name) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", face.name);
    } else canvas.setAttribute("aria-hidden", "true");
    container.replaceChildren(canvas);
  } catch (error) {
    if (error.status === 401) connection.addEventListener("key-accepted", () => load(container, face), { once: true });
    container.replaceChildren(); // the photo was deleted, or this key may not see it: the tile stays empty
  }
}

async function crop(face) {
  const url = face.face_id ? await fetchFace(face.face_id, SIZE) : await fetchPhoto(face.image_path);
  try {
    const image = h("img", { src: url });
    await image.decode();
    const canvas = face.face_id ? cropFace(image, WHOLE, 0) : cropFace(image, face.bounding_box, MARGIN);
    if (face.face_id) kept.set(face.face_id, canvas);
    if (kept.size > MAX_KEPT) kept.delete(kept.keys().next().value);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function copy(canvas) {
  const drawn = createCanvas(canvas.width, canvas.height);
  drawn.getContext("2d").drawImage(canvas, 0, 0);
  return drawn;
}
