// Drop, paste, choose or take photos; see the names; tell Mien who an unknown face is.

import { api, indexed } from "../api.js";
import { box, pair, verdict } from "../boxes.js";
import { h, spinner, toast, undoable } from "../dom.js";
import { crop, frame, jpeg, open, UnreadablePhoto } from "../photo.js";
import { knownNames, threshold } from "../state.js";
import { text } from "../strings.js";

const t = text.recognise;
export const keep = true; // the photos stay while another view is looked at

export function render() {
  const list = h("div", { className: "cards" });
  const take = (files) => [...files].forEach((file) => add(list, file));
  const input = h("input", { type: "file", accept: "image/*", multiple: true, id: "photos", className: "sr", onchange: () => { take(input.files); input.value = ""; } });
  const camera = h("div");
  const drop = h("section", { className: "drop" },
    h("h1", {}, t.title),
    h("p", {}, `${t.lead} `, input, h("label", { htmlFor: "photos", className: "link" }, t.choose), ", ",
      h("button", { className: "link", onclick: () => openCamera(camera, take) }, t.camera), "."),
    camera,
    h("p", { className: "hint" }, t.hint),
    h("datalist", { id: "known" }));
  const view = h("div", { className: "recognise" }, drop, list);
  view.addEventListener("enter", () => fillNames(view));
  wireDrop(view, drop, take);
  return view;
}

function wireDrop(view, drop, take) {
  const paste = (event) => { if (event.clipboardData?.files.length) take(event.clipboardData.files); };
  view.addEventListener("enter", () => document.addEventListener("paste", paste));
  view.addEventListener("leave", () => document.removeEventListener("paste", paste));
  for (const name of ["dragenter", "dragover"]) view.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) view.addEventListener(name, () => drop.classList.remove("over"));
  view.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
}

async function fillNames(view) {
  const names = await knownNames().catch(() => []);
  view.querySelector("#known")?.replaceChildren(...names.map((name) => h("option", { value: name })));
}

function add(list, file) {
  const card = h("article", { className: "card" });
  list.prepend(card);
  run(card, file);
}

async function run(card, file) {
  card.replaceChildren(spinner(t.working));
  let photo;
  try {
    photo = await open(file);
    const figure = picture(photo, file);
    card.replaceChildren(figure, h("div", { className: "faces" }, spinner(t.working)));
    const answer = await api.recognize(photo.blob, { threshold: threshold.query() });
    showFaces(card, figure, answer, () => run(card, file));
  } catch (error) {
    failed(card, file, photo, error instanceof UnreadablePhoto ? text.errors.tooManyPixels : error.message);
  }
}

function picture(photo, file) {
  if (!photo.url) return h("figure", { className: "photo blank" }, h("p", {}, file.name), h("p", { className: "note" }, t.unreadable));
  return h("figure", { className: "photo" }, h("img", { src: photo.url, alt: file.name || t.title, width: photo.width, height: photo.height }));
}

function failed(card, file, photo, sentence) {
  card.replaceChildren(
    photo?.url ? picture(photo, file) : h("p", { className: "note" }, file.name),
    h("div", { className: "faces" }, h("p", { className: "problem", role: "alert" }, sentence),
      h("div", { className: "row" },
        h("button", { onclick: () => run(card, file) }, t.again),
        h("button", { className: "quiet", onclick: () => card.remove() }, t.remove))));
}

function showFaces(card, figure, answer, again) {
  const rows = answer.faces.map((face) => row(face, figure, again));
  if (figure.querySelector("img")) {
    const boxes = answer.faces.map((face) => box(face));
    figure.append(...boxes);
    boxes.forEach((node, i) => pair(node, rows[i]));
  }
  card.querySelector(".faces").replaceChildren(
    h("h2", {}, answer.faces.length ? t.faces(answer.faces.length) : t.noFace),
    h("ul", { className: "people" }, rows),
    h("button", { className: "quiet", onclick: () => card.remove() }, t.remove));
}

function row(face, figure, again) {
  const thumb = h("span", { className: "thumb" });
  const image = figure.querySelector("img");
  image?.decode().then(() => crop(image, face.bounding_box, 0.25)).then((canvas) => thumb.replaceChildren(canvas)).catch(() => {});
  const item = h("li", { className: `face ${face.status}` }, thumb, h("div", {}, verdict(face)));
  if (face.status === "unknown" && image) item.append(asker(item, face, image));
  if (face.status === "matched" && image) item.append(denier(face, image, again));
  return item;
}

function asker(item, face, image) {
  const name = h("input", { placeholder: t.who, "aria-label": t.who, list: "known", required: true, maxLength: 80, dir: "auto" });
  const form = h("form", { className: "ask" }, name, h("button", {}, t.enrol));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    form.querySelector("button").disabled = true;
    try {
      await enrol(image, face, name.value.trim());
      item.className = "face matched";
      item.replaceChildren(item.firstChild, h("div", {}, h("strong", { dir: "auto" }, name.value.trim())));
    } catch (error) {
      toast(error.message, "error");
      form.querySelector("button").disabled = false;
    }
  });
  return form;
}

function denier(face, image, again) {
  const deny = async () => {
    try {
      const { face_id: id } = await api.reject(await jpeg(await crop(image, face.bounding_box, 0.6)), face.user_id);
      undoable(t.rejected(face.user_id), t.undo, async () => { await api.unreject(id); again(); });
      again();
    } catch (error) {
      toast(error.message, "error");
    }
  };
  return h("button", { className: "link not", onclick: deny }, t.not(face.user_id));
}

async function enrol(image, face, name) {
  const canvas = await crop(image, face.bounding_box, 0.6);
  const state = await indexed(await api.upload(await jpeg(canvas), name));
  if (state.status === "rejected") throw new Error(state.reasons.join(" "));
  toast(t.enrolled(name));
  knownNames.changed();
}

async function openCamera(place, take) {
  const { start } = await import("../camera.js");
  const video = h("video", { muted: true, playsInline: true, autoplay: true });
  const stop = await start(video).catch((error) => { toast(error.message, "error"); return null; });
  if (!stop) return;
  const close = () => { stop(); place.replaceChildren(); };
  place.replaceChildren(h("div", { className: "camera" }, video, h("div", { className: "row" },
    h("button", { onclick: async () => { const shot = await frame(video, 0.92); close(); take([new File([shot], "camera.jpg", { type: "image/jpeg" })]); } }, t.take),
    h("button", { className: "quiet", onclick: close }, t.cancel))));
  place.closest(".recognise").addEventListener("leave", close, { once: true });
}
