// Shows the face of a stored photo, cut out by its box; loaded when it scrolls into view.

import { image } from "./api.js";
import { crop } from "./photo.js";

const waiting = new WeakMap();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    load(target, waiting.get(target));
  }
}, { rootMargin: "300px" });

export function portrait(place, face) {
  waiting.set(place, face);
  watcher.observe(place);
}

async function load(place, face) {
  try {
    const url = await image(face.image_path);
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    const canvas = await crop(picture, face.bounding_box, 0.3);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", face.user_id ?? "");
    place.replaceChildren(canvas);
    URL.revokeObjectURL(url);
  } catch (error) {
    if (error.status === 401) document.addEventListener("key-accepted", () => load(place, face), { once: true });
    place.replaceChildren(); // the photo is gone or not for this key: an empty tile says so
  }
}
