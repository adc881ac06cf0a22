// Photos in the browser: read upright, made smaller before they travel, cut into faces.

import { text } from "./strings.js";

const LONGEST_SIDE = 2048; // enough for every face the engine can use; a 12-megapixel photo becomes ~0.6 MB
const KEEP_AS_IS = 1_500_000;
const MOST_PIXELS = 80_000_000;

class UnreadablePhoto extends Error {}

export async function open(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // Formats that the browser cannot show (HEIC, TIFF) may still be readable by the server.
    return { file, blob: file, width: 0, height: 0, url: null };
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    bitmap.close();
    throw new UnreadablePhoto(text.errors.tooManyPixels);
  }
  const small = file.size <= KEEP_AS_IS && Math.max(width, height) <= LONGEST_SIDE;
  const blob = small && file.type !== "" ? file : await shrink(bitmap);
  bitmap.close();
  return { file, blob, width, height, url: URL.createObjectURL(blob) };
}

async function shrink(bitmap) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = canvasOf(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.context.imageSmoothingQuality = "high";
  canvas.context.drawImage(bitmap, 0, 0, canvas.node.width, canvas.node.height);
  return jpeg(canvas.node, 0.9);
}

export async function crop(image, box, margin = 0.5) {
  const width = image.naturalWidth || image.videoWidth;
  const height = image.naturalHeight || image.videoHeight;
  const side = Math.min(Math.max(box.width * width, box.height * height) * (1 + 2 * margin), width, height);
  const within = (middle, length) => Math.max(0, Math.min(middle - side / 2, length - side));
  const x = within((box.left + box.width / 2) * width, width);
  const y = within((box.top + box.height / 2) * height, height);
  const size = Math.max(160, Math.min(640, Math.round(side)));
  const canvas = canvasOf(size, size);
  canvas.context.drawImage(image, x, y, side, side, 0, 0, size, size);
  return canvas.node;
}

export async function frame(video, quality = 0.85) {
  const canvas = canvasOf(video.videoWidth, video.videoHeight);
  canvas.context.drawImage(video, 0, 0);
  return jpeg(canvas.node, quality);
}

export function jpeg(canvas, quality = 0.92) {
  // Not toBlob: Chromium encodes there when it is idle, and on a busy machine it may never be.
  const [kind, data] = canvas.toDataURL("image/jpeg", quality).split(",");
  if (!kind.startsWith("data:image/jpeg")) throw new UnreadablePhoto(text.recognise.unreadable);
  return new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" });
}

function canvasOf(width, height) {
  const node = document.createElement("canvas");
  node.width = width;
  node.height = height;
  return { node, context: node.getContext("2d") };
}
