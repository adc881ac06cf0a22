// Draws boxes and names on a photo, and offers it as a download; nothing is sent for it.

import { h } from "./dom.js";
import { faceLabel } from "./face-overlay.js";
import { placeLabels } from "./label-placement.js";
import { createCanvas, encodeJpeg } from "./photo.js";

const COLOURS = { matched: "#2dd4bf", ambiguous: "#fbbf24", unknown: "#e2e8f0" };

export function downloadAnnotated({ figure, faces, file }) {
  const url = URL.createObjectURL(encodeJpeg(annotate(figure.querySelector("img"), faces)));
  const name = file.name.replace(/\.\w+$/, "") || "photo";
  h("a", { href: url, download: `${name}-named.jpg` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function annotate(image, faces) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = createCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const size = Math.max(12, Math.round(Math.min(width, height) / 45));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.lineWidth = Math.max(2, size / 6);
  const boxes = faces.map(({ bounding_box: box }) => ({
    left: box.left * width,
    top: box.top * height,
    width: box.width * width,
    height: box.height * height,
  }));
  const texts = faces.map((face, i) => `${i + 1}  ${faceLabel(face)}`);
  const sizes = texts.map((text) => ({ width: context.measureText(text).width + size, height: size * 1.5 }));
  const labels = placeLabels(boxes, sizes, { width, height });
  faces.forEach((face, i) => {
    context.strokeStyle = COLOURS[face.likelihood === "likely" ? "ambiguous" : face.status];
    context.strokeRect(boxes[i].left, boxes[i].top, boxes[i].width, boxes[i].height);
  });
  labels.forEach(({ left, top }, i) => {
    context.fillStyle = "#0b1211e0";
    context.fillRect(left, top, sizes[i].width, sizes[i].height);
    context.fillStyle = "#fff";
    context.fillText(texts[i], left + size / 2, top + sizes[i].height / 2);
  });
  return canvas;
}
