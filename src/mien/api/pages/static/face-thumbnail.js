// Shows the face of a stored photo once it is scrolled into view. An enrolled face comes cut out of its photo; of any
// other, such as one in the history, the photo is loaded and cropped to its box.

import { connection, fetchFace, fetchPhoto } from "./api.js";
import { h } from "./dom.js";
import { cropFace } from "./photo.js";

const MARGIN = 0.3;
const MAX_KEPT = 400; // suggestions and lists show the same faces again and again
const SIZE = 320;

const facesByContainer = new WeakMap();
const kept = new Map(); // addresses of pictures by face id, the one that was fetched first in front
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
    container.replaceChildren(face.face_id ? await enrolledFace(face) : await crop(face));
  } catch (error) {
    if (error.status === 401) connection.addEventListener("key-accepted", () => load(container, face), { once: true });
    container.replaceChildren(); // the photo was deleted, or this key may not see it: the tile stays empty
  }
}

async function enrolledFace({ face_id: id, name }) {
  const image = h("img", { src: await (kept.get(id) ?? keep(id)), alt: name ?? "" });
  await image.decode();
  return image;
}

async function keep(id) {
  const address = fetchFace(id, SIZE);
  kept.set(id, address);
  address.catch(() => kept.delete(id));
  if (kept.size > MAX_KEPT) {
    const [oldest, outdated] = kept.entries().next().value;
    kept.delete(oldest);
    outdated.then(URL.revokeObjectURL, () => {});
  }
  return address;
}

async function crop({ image_path: path, bounding_box: box, name }) {
  const url = await fetchPhoto(path);
  try {
    const image = h("img", { src: url });
    await image.decode();
    const canvas = cropFace(image, box, MARGIN);
    if (name) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", name);
    } else canvas.setAttribute("aria-hidden", "true");
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}
