// Prepares photos in the browser: read upright, downscaled before they are sent, cropped to faces.

import { api } from "./api.js";
import { text } from "./strings.js";

const MAX_SIDE = 2048; // enough for every face the engine can use; a 12-megapixel photo becomes ~0.6 MB
const MAX_UNCHANGED_BYTES = 1_500_000;
const MAX_PIXELS = 80_000_000;
const MIN_CROP = 160; // side of a cropped face, in pixels
const MAX_CROP = 640;

class UnreadablePhoto extends Error {}

/**
 * Read a photo file, and make it small enough to be sent.
 *
 * Returns `{ blob, width, height, url }`: what to send, the size of the upright photo in pixels, and an object URL to
 * show, which the caller revokes. The server converts what the browser cannot show; if it cannot either, its error tells
 * what is wrong with the file.
 */
export async function readPhoto(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return readByServer(file);
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    throw new UnreadablePhoto(text.errors.tooManyPixels);
  }
  const small = file.size <= MAX_UNCHANGED_BYTES && Math.max(width, height) <= MAX_SIDE;
  const blob = small && file.type !== "" ? file : downscale(bitmap);
  bitmap.close();
  return { blob, width, height, url: URL.createObjectURL(blob) };
}

/** HEIC, TIFF and the like: what is shown, cropped and sent is the server's JPEG of it. */
async function readByServer(file) {
  if (/^(video|audio)\//.test(file.type)) throw new UnreadablePhoto(text.errors.video);
  const blob = await api.render(file);
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  bitmap.close();
  return { blob, width, height, url: URL.createObjectURL(blob) };
}

function downscale(bitmap) {
  const [width, height] = fitInto(MAX_SIDE, bitmap.width, bitmap.height);
  const canvas = createCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return encodeJpeg(canvas, 0.9);
}

/** Compute the size that keeps the proportions and has no side longer than `side`; nothing is enlarged. */
export function fitInto(side, width, height) {
  const scale = Math.min(1, side / Math.max(width, height));
  return [Math.round(width * scale), Math.round(height * scale)];
}

/**
 * Compute the square around a face, in pixels of an image of `width` x `height`.
 *
 * `box` is in fractions of the image; `margin` is what is added on each side, as a fraction of the longer side of the
 * box. The square is moved, and if need be made smaller, so that it lies in the image.
 */
export function cropSquare(width, height, box, margin) {
  const longer = Math.max(box.width * width, box.height * height);
  const side = Math.min(longer * (1 + 2 * margin), width, height);
  const start = (middle, length) => Math.max(0, Math.min(middle - side / 2, length - side));
  return {
    x: start((box.left + box.width / 2) * width, width),
    y: start((box.top + box.height / 2) * height, height),
    side,
  };
}

/** Draw the square around a face of a loaded <img> into a new canvas. */
export function cropFace(image, box, margin) {
  const { x, y, side } = cropSquare(image.naturalWidth, image.naturalHeight, box, margin);
  const size = Math.max(MIN_CROP, Math.min(MAX_CROP, Math.round(side)));
  const canvas = createCanvas(size, size);
  canvas.getContext("2d").drawImage(image, x, y, side, side, 0, 0, size, size);
  return canvas;
}

export function encodeJpeg(canvas, quality = 0.92) {
  // Not by toBlob: Chromium encodes there when it is idle, which on a busy machine may be never.
  const [header, data] = canvas.toDataURL("image/jpeg", quality).split(",");
  if (!header.startsWith("data:image/jpeg")) throw new UnreadablePhoto(text.errors.notEncoded);
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/jpeg" });
}

export function createCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
