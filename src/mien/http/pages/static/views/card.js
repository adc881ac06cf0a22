// One photo: looked at, its faces shown and listed; unknown ones are named, wrong names taken back.

import { api, indexed } from "../api.js";
import { box, pair, verdict } from "../boxes.js";
import { action, busy, failure, h, spinner, toast, undoable } from "../dom.js";
import { crop, jpeg, open } from "../photo.js";
import { knownNames, threshold } from "../state.js";
import { text } from "../strings.js";

const t = text.recognise;

export function card(file) {
  const photo = { file, node: h("article", { className: "card" }, spinner(t.working)) };
  return { node: photo.node, look: () => look(photo) };
}

async function look(photo) {
  const { node, file } = photo;
  const faces = h("div", { className: "faces" }, spinner(t.working));
  try {
    photo.opened ??= await open(file);
    photo.figure ??= picture(photo.opened, file);
    node.replaceChildren(photo.figure, faces);
    show(photo, await recognised(photo));
  } catch (error) {
    const [sentence, again] = failure(error, () => look(photo));
    faces.replaceChildren(sentence, h("div", { className: "row" }, again, remover(photo)));
    node.replaceChildren(photo.figure ?? h("figure", { className: "photo blank" }, h("p", {}, file.name)), faces);
  }
}

const recognised = (photo) => api.recognize(photo.opened.blob, { threshold: threshold.query() });

const remover = ({ node, opened }) => action(t.remove, () => { node.remove(); URL.revokeObjectURL(opened?.url); }, "quiet");

function picture({ url, width, height }, file) {
  if (!url) return h("figure", { className: "photo blank" }, h("p", {}, file.name), h("p", { className: "note" }, t.unreadable));
  return h("figure", { className: "photo" }, h("img", { src: url, alt: file.name || t.title, width, height }));
}

function show(photo, answer) {
  const { figure, node } = photo;
  const rows = answer.faces.map((face) => row(photo, face));
  keepTyped(node, rows);
  figure.querySelectorAll(".box").forEach((old) => old.remove());
  figure.classList.toggle("many", rows.length > 4);
  figure.classList.toggle("crowd", rows.length > 12);
  if (figure.querySelector("img")) {
    const boxes = answer.faces.map((face) => box(face));
    figure.append(...boxes);
    boxes.forEach((each, i) => pair(each, rows[i]));
  }
  node.querySelector(".faces").replaceChildren(
    h("h2", {}, answer.faces.length ? t.faces(answer.faces.length) : t.noFace),
    h("ul", { className: "people" }, rows),
    remover(photo));
}

function keepTyped(node, rows) {
  // The same photo has the same faces in the same order.
  node.querySelectorAll(".face").forEach((old, i) => {
    const [before, after] = [old, rows[i]].map((each) => each?.querySelector("input"));
    if (before && after) after.value = before.value;
  });
}

function row(photo, face) {
  const thumb = h("span", { className: "thumb" });
  const image = photo.figure.querySelector("img");
  image?.decode().then(() => crop(image, face.bounding_box, 0.25)).then((canvas) => thumb.replaceChildren(canvas)).catch(() => {});
  const item = h("li", { className: `face ${face.status}` }, thumb, h("div", {}, verdict(face)));
  if (image) item.append(face.status === "matched" ? denier(photo, face, image) : asker(item, face, image));
  return item;
}

function asker(item, face, image) {
  const name = h("input", { placeholder: t.who, "aria-label": t.who, required: true, maxLength: 80, dir: "auto" });
  name.setAttribute("list", "known");
  const button = h("button", {}, t.enrol);
  const form = h("form", { className: "ask" }, name, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(button, async () => {
      await enrol(image, face, name.value.trim());
      item.className = "face matched";
      item.replaceChildren(item.firstChild, h("div", {}, h("strong", { dir: "auto" }, name.value.trim())));
    });
  });
  return form;
}

function denier(photo, face, image) {
  const again = async () => show(photo, await recognised(photo));
  const deny = async () => {
    const { face_id: id } = await api.reject(jpeg(await crop(image, face.bounding_box, 0.6)), face.user_id);
    undoable(t.rejected(face.user_id), async () => { await api.unreject(id); await again(); });
    await again();
  };
  return action(t.not(face.user_id), deny, "link not");
}

async function enrol(image, face, name) {
  const upload = await api.upload(jpeg(await crop(image, face.bounding_box, 0.6)), name);
  const state = await indexed(upload);
  if (["rejected", "failed"].includes(state.status)) throw new Error(state.reasons.join(" "));
  toast(state.status === "pending" ? t.enrolling(name) : t.enrolled(name));
  knownNames.changed();
}
