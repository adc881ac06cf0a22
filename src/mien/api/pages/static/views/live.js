// Names the people in front of the camera. Boxes follow the faces, names are voted on, a log tells who was seen when.

import { api } from "../api.js";
import { captureFrame, openCamera } from "../camera.js";
import { h, placeAt } from "../dom.js";
import { runBusy, toast } from "../feedback.js";
import { threshold, usesOwnEngine } from "../state.js";
import { text } from "../strings.js";
import { FaceTracker } from "../tracker.js";

const t = text.live;
const SAME_VISIT_MS = 10_000; // who comes back within this time is not logged again
const PAID_PAUSE_MS = 1000;
const ERROR_PAUSE_MS = 1000;
const RATE_WINDOW_MS = 4000;

export function render() {
  const scene = {
    video: h("video", { muted: true, playsinline: true }),
    layer: h("div", { class: "layer" }),
    rate: h("span", { class: "note", role: "status" }),
    log: h("ol", { class: "log" }, h("li", { class: "note" }, t.nobody)),
    off: h("p", { class: "camera-off" }, t.off),
    button: h("button", {}, t.start),
    session: null,
  };
  const view = layOut(scene);
  scene.button.addEventListener("click", () => runBusy(scene.button, () => toggle(scene, view)));
  view.addEventListener("leave", () => stop(scene));
  return view;
}

function layOut({ video, layer, rate, log, off, button }) {
  return h(
    "div",
    { class: "live" },
    h(
      "section",
      {},
      h("h1", {}, t.title),
      h("p", {}, t.lead),
      h("div", { class: "stage" }, video, off, layer),
      h("div", { class: "row" }, button, rate),
    ),
    h("aside", { "aria-label": t.log }, h("h2", {}, t.log), log),
  );
}

async function toggle(scene, view) {
  if (scene.session) return stop(scene);
  await start(scene);
  scene.off.hidden = true;
  scene.button.textContent = t.stop;
  if (!view.isConnected) stop(scene); // the view was left while the browser asked for the camera
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
  const closeCamera = await openCamera(scene.video, () => {
    stop(scene);
    toast(t.ended, "error");
  });
  const abort = new AbortController();
  scene.session = {
    signal: abort.signal,
    tracker: new FaceTracker(),
    boxes: new Map(), // by the id of the track
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
  session.frameTimes = [...session.frameTimes, now].filter((time) => now - time < RATE_WINDOW_MS);
  const rate = session.frameTimes.length / (RATE_WINDOW_MS / 1000);
  return rate < 2 ? rate.toFixed(1) : Math.round(rate);
}

function draw({ layer, log }, { boxes, lastSeen }, tracks) {
  const present = new Set(tracks.map((track) => track.id));
  for (const [id, box] of boxes) {
    if (present.has(id)) continue;
    box.remove();
    boxes.delete(id);
  }
  for (const { id, box, name } of tracks) {
    if (!boxes.has(id)) boxes.set(id, addBox(layer));
    const node = placeAt(boxes.get(id), box);
    node.className = `box ${name ? "matched" : "unknown"}`;
    node.firstChild.textContent = name ?? text.recognize.unknown;
    if (name) logVisit(log, lastSeen, name);
  }
}

function addBox(layer) {
  const box = h("div", { class: "box" }, h("span", { class: "tag", dir: "auto" }));
  layer.append(box);
  return box;
}

function logVisit(log, lastSeen, name) {
  const now = Date.now();
  const before = lastSeen.get(name);
  lastSeen.set(name, now);
  if (before && now - before < SAME_VISIT_MS) return;
  if (lastSeen.size === 1 && !before) log.replaceChildren();
  log.prepend(h("li", {}, h("time", {}, new Date(now).toLocaleTimeString()), h("strong", { dir: "auto" }, name)));
}
