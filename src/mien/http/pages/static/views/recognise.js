// Drop, paste, choose or take photos; each gets a card.

import { start } from "../camera.js";
import { action, h, toast } from "../dom.js";
import { frame } from "../photo.js";
import { knownNames } from "../state.js";
import { text } from "../strings.js";
import { card } from "./card.js";

const t = text.recognise;
const AT_ONCE = 3; // photos that are decoded and sent at the same time: a folder of them would fill the memory
export const keep = true; // the photos stay while another view is looked at

export function render() {
  const list = h("div", { className: "cards" });
  const take = taker(list);
  const input = h("input", { type: "file", accept: "image/*", multiple: true, id: "photos", className: "sr", onchange: () => { take(input.files); input.value = ""; } });
  const camera = h("div");
  const drop = h("section", { className: "drop" },
    h("h1", {}, t.title),
    h("p", {}, `${t.lead} `, input, h("label", { htmlFor: "photos", className: "link" }, t.choose), ", ",
      action(t.camera, () => openCamera(camera, view, take), "link"), "."),
    camera,
    h("p", { className: "hint" }, t.hint),
    h("datalist", { id: "known" }));
  const view = h("div", { className: "recognise" }, drop, list);
  view.addEventListener("enter", () => fillNames(view));
  wireDrop(view, drop, take);
  return view;
}

function taker(list) {
  const waiting = [];
  let running = 0;
  const next = async () => {
    if (running >= AT_ONCE || !waiting.length) return;
    running += 1;
    await waiting.shift()();
    running -= 1;
    next();
  };
  return (files) => {
    for (const file of files) {
      const { node, look } = card(file);
      list.prepend(node);
      waiting.push(look);
      next();
    }
  };
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

async function openCamera(place, view, take) {
  if (place.firstChild) return;
  const video = h("video", { muted: true, playsInline: true, autoplay: true });
  const close = () => { stop(); place.replaceChildren(); };
  const stop = await start(video, () => { close(); toast(text.live.ended, "error"); });
  if (!view.isConnected) return stop();
  const shoot = async () => {
    const shot = await frame(video, 0.92);
    close();
    take([new File([shot], "camera.jpg", { type: "image/jpeg" })]);
  };
  place.replaceChildren(h("div", { className: "camera" }, video,
    h("div", { className: "row" }, action(t.take, shoot), action(text.cancel, close, "quiet"))));
  view.addEventListener("leave", close, { once: true });
}
