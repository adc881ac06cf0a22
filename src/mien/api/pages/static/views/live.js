// Names the people in front of the camera. Boxes follow the faces, names are voted on, a log tells who was seen when.

import { api, uploadNotes, waitUntilIndexed } from "../api.js";
import { cameras, captureFrame, openCamera } from "../camera.js";
import { h, placeAt } from "../dom.js";
import { actionButton, runBusy, toast } from "../feedback.js";
import { time } from "../format.js";
import { nameField } from "../name-field.js";
import { createCanvas, cropSquare, encodeJpeg } from "../photo.js";
import { forgetPeople, threshold, usesOwnEngine } from "../state.js";
import { device } from "../storage.js";
import { text } from "../strings.js";
import { FaceTracker } from "../tracker.js";

const t = text.live;
const SAME_VISIT_MS = 10_000; // who comes back within this time is not logged again
const STRANGER_MS = 1500; // a stranger is logged after this time without a name
const PAID_PAUSE_MS = 1000;
const ERROR_PAUSE_MS = 1000;
const RATE_WINDOW_MS = 4000;
const MAX_STRANGERS = 20;
const CROP_SIDE = 320;
const CROP_MARGIN = 0.6;
const CAMERA = "mien-camera";
const MIRROR = "mien-mirror";

export function render() {
  const scene = {
    video: h("video", { muted: true, playsinline: true }),
    layer: h("div", { class: "layer" }),
    rate: h("span", { class: "note", role: "status" }),
    log: h("ol", { class: "log" }, h("li", { class: "note" }, t.nobody)),
    off: h("p", { class: "camera-off" }, t.off),
    button: h("button", {}, t.start),
    camera: h("select", { "aria-label": t.camera, hidden: true }),
    session: null,
  };
  const view = layOut(scene);
  scene.button.addEventListener("click", () => runBusy(scene.button, () => toggle(scene, view)));
  scene.camera.addEventListener("change", () => {
    device.set(CAMERA, scene.camera.value);
    runBusy(scene.button, () => restart(scene, view));
  });
  view.addEventListener("leave", () => stop(scene));
  return view;
}

function layOut(scene) {
  const { video, layer, rate, log, off, button, camera } = scene;
  const stage = h("div", { class: "stage" }, video, off, layer);
  stage.classList.toggle("mirrored", device.get(MIRROR) === "yes");
  const mirror = actionButton(
    t.mirror,
    () => device.set(MIRROR, stage.classList.toggle("mirrored") ? "yes" : "no"),
    "quiet",
  );
  const full = actionButton(t.fullScreen, () => stage.requestFullscreen(), "quiet");
  return h(
    "div",
    { class: "live" },
    h(
      "section",
      {},
      h("h1", {}, t.title),
      h("p", {}, t.lead),
      stage,
      h("div", { class: "row" }, button, camera, mirror, document.fullscreenEnabled && full, rate),
    ),
    h("aside", { "aria-label": t.log }, h("h2", {}, t.log), log),
  );
}

async function toggle(scene, view) {
  if (scene.session) return stop(scene);
  await start(scene);
  scene.off.hidden = true;
  scene.button.textContent = t.stop;
  offerCameras(scene);
  if (!view.isConnected) stop(scene); // the view was left while the browser asked for the camera
}

async function restart(scene, view) {
  if (!scene.session) return;
  stop(scene);
  await toggle(scene, view);
}

/** Offer the cameras, whose names the browser tells once one may be used. */
async function offerCameras({ camera }) {
  const found = await cameras();
  camera.replaceChildren(...found.map(({ id, name }, i) => h("option", { value: id }, name || `${t.camera} ${i + 1}`)));
  camera.hidden = found.length < 2;
  if (found.some(({ id }) => id === device.get(CAMERA))) camera.value = device.get(CAMERA);
}

function stop(scene) {
  scene.session?.close();
  scene.session = null;
  scene.off.hidden = false;
  scene.button.textContent = t.start;
  scene.layer.replaceChildren();
  scene.rate.textContent = "";
}

async function start(scene) {
  const onEnded = () => {
    stop(scene);
    toast(t.ended, "error");
  };
  const closeCamera = await openCamera(scene.video, onEnded, device.get(CAMERA));
  const abort = new AbortController();
  scene.session = {
    signal: abort.signal,
    tracker: new FaceTracker(),
    boxes: new Map(), // by the id of the track
    firstSeen: new Map(), // by the id of the track, while it has no name
    logged: new Set(), // the ids of strangers
    lastSeen: new Map(), // by name
    frameTimes: [],
    pause: (await usesOwnEngine()) ? 0 : PAID_PAUSE_MS,
    close: () => {
      abort.abort();
      closeCamera();
    },
  };
  recognizeFrames(scene, scene.session);
  // Two requests at a time: one is recognised while the next one travels.
  if (scene.session.pause) toast(t.paid);
  else recognizeFrames(scene, scene.session);
}

async function recognizeFrames(scene, session) {
  const { signal, tracker, pause } = session;
  while (!signal.aborted) {
    try {
      const frame = captureFrame(scene.video);
      const { faces } = await api.recognize(frame, { threshold: threshold.get(), store: "false", signal });
      if (signal.aborted) return;
      draw(scene, session, tracker.update(faces, performance.now()));
      scene.rate.textContent = t.rate(framesPerSecond(session));
      if (pause) await sleep(pause);
    } catch (error) {
      if (signal.aborted) return;
      scene.rate.textContent = error.message;
      draw(scene, session, []); // names over frames that nobody recognises any more would be wrong
      await sleep(ERROR_PAUSE_MS);
    }
  }
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function framesPerSecond(session) {
  const now = performance.now();
  session.frameTimes = [...session.frameTimes, now].filter((moment) => now - moment < RATE_WINDOW_MS);
  const rate = session.frameTimes.length / (RATE_WINDOW_MS / 1000);
  return rate < 2 ? rate.toFixed(1) : Math.round(rate);
}

function draw(scene, session, tracks) {
  const { boxes, firstSeen } = session;
  const present = new Set(tracks.map((track) => track.id));
  for (const [id, box] of boxes) {
    if (present.has(id)) continue;
    box.remove();
    boxes.delete(id);
    firstSeen.delete(id);
  }
  for (const { id, box, name } of tracks) {
    if (!boxes.has(id)) boxes.set(id, addBox(scene.layer));
    const node = placeAt(boxes.get(id), box);
    node.className = `box ${name ? "matched" : "unknown"}`;
    node.firstChild.textContent = name ?? text.recognize.unknown;
    if (name) logVisit(scene, session, id, name);
    else logStranger(scene, session, id, box);
  }
}

function addBox(layer) {
  const box = h("div", { class: "box" }, h("span", { class: "tag", dir: "auto" }));
  layer.append(box);
  return box;
}

function addLine({ log }, ...content) {
  log.querySelector(".note:only-child")?.remove();
  const line = h("li", {}, h("time", {}, time(Date.now())), ...content);
  log.prepend(line);
  return line;
}

function logVisit(scene, { lastSeen, firstSeen }, id, name) {
  firstSeen.delete(id);
  const now = Date.now();
  const before = lastSeen.get(name);
  lastSeen.set(name, now);
  if (before && now - before < SAME_VISIT_MS) return;
  addLine(scene, h("strong", { dir: "auto" }, name));
}

/** Log a face that stays without a name, with a form that gives it one. */
function logStranger(scene, { firstSeen, logged }, id, box) {
  const now = Date.now();
  if (!firstSeen.has(id)) firstSeen.set(id, now);
  if (logged.has(id) || now - firstSeen.get(id) < STRANGER_MS) return;
  logged.add(id);
  const strangers = scene.log.querySelectorAll(".stranger");
  if (strangers.length >= MAX_STRANGERS) strangers[strangers.length - 1].remove();
  const canvas = cropVideo(scene.video, box);
  const line = addLine(scene, h("span", { class: "thumbnail" }, canvas));
  line.className = "stranger";
  line.append(strangerForm(canvas));
}

function cropVideo(video, box) {
  const { x, y, side } = cropSquare(video.videoWidth, video.videoHeight, box, CROP_MARGIN);
  const canvas = createCanvas(CROP_SIDE, CROP_SIDE);
  canvas.getContext("2d").drawImage(video, x, y, side, side, 0, 0, CROP_SIDE, CROP_SIDE);
  return canvas;
}

function strangerForm(canvas) {
  const field = nameField({ label: text.recognize.who });
  const button = h("button", { class: "soft" }, text.recognize.save);
  const save = async () => {
    const person = await field.answer();
    if (!person) return;
    const whose = person.user_id ? { user_id: person.user_id } : person;
    const result = await waitUntilIndexed(await api.upload(encodeJpeg(canvas), whose));
    if (["rejected", "failed"].includes(result.status)) throw new Error(uploadNotes(result).join(" "));
    forgetPeople();
    form.replaceWith(h("strong", { dir: "auto" }, person.name), h("span", { class: "saved" }, text.recognize.saved));
  };
  const form = h("form", { class: "name-form" }, field.node, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    runBusy(button, save);
  });
  return form;
}
