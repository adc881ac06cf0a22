// The camera with boxes that follow; names are voted over several frames; a log says who was seen when.

import { api } from "../api.js";
import { start } from "../camera.js";
import { busy, h, place, toast } from "../dom.js";
import { frame } from "../photo.js";
import { ownRecogniser, threshold } from "../state.js";
import { text } from "../strings.js";
import { Tracks } from "../votes.js";

const t = text.live;
const SAME_VISIT_MS = 10_000;
const PAID_PAUSE_MS = 1000;

export function render() {
  const video = h("video", { muted: true, playsInline: true });
  const layer = h("div", { className: "layer" });
  const rate = h("span", { className: "note", role: "status" });
  const log = h("ol", { className: "log" }, h("li", { className: "note" }, t.nobody));
  const button = h("button", {}, t.start);
  const off = h("p", { className: "off" }, t.off);
  const view = h("div", { className: "live" },
    h("section", {}, h("h1", {}, t.title), h("p", {}, t.lead),
      h("div", { className: "stage" }, video, off, layer),
      h("div", { className: "row" }, button, rate)),
    h("aside", { "aria-label": t.log }, h("h2", {}, t.log), log));
  let session = null;
  const end = () => { session?.stop(); session = null; off.hidden = false; button.textContent = t.start; layer.replaceChildren(); rate.textContent = ""; };
  const ended = () => { end(); toast(t.ended, "error"); };
  const toggle = async () => {
    if (session) return end();
    session = await begin(video, layer, rate, log, ended);
    off.hidden = true;
    button.textContent = t.stop;
    if (!view.isConnected) end(); // the view was left while the browser asked for the camera
  };
  button.addEventListener("click", () => busy(button, toggle));
  view.addEventListener("leave", end);
  return view;
}

async function begin(video, layer, rate, log, ended) {
  const close = await start(video, ended);
  const abort = new AbortController();
  const visits = new Map();
  const tracks = new Tracks();
  const drawn = new Map();
  const pause = (await ownRecogniser()) ? 0 : PAID_PAUSE_MS;
  const scene = { video, layer, rate, log, abort, visits, tracks, drawn, pause, ticks: [] };
  watch(scene);
  // Two requests under way: one is recognised while the next one travels.
  if (pause) toast(t.paid);
  else watch(scene);
  return { stop: () => { abort.abort(); close(); } };
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function watch(scene) {
  while (!scene.abort.signal.aborted) {
    try {
      const picture = await frame(scene.video);
      const answer = await api.recognize(picture, { threshold: threshold.query(), store: "false", signal: scene.abort.signal });
      if (scene.abort.signal.aborted) return;
      draw(scene, scene.tracks.update(answer.faces, performance.now()));
      scene.rate.textContent = t.rate(framesPerSecond(scene));
      if (scene.pause) await sleep(scene.pause);
    } catch (error) {
      if (scene.abort.signal.aborted) return;
      scene.rate.textContent = error.message;
      draw(scene, []); // names over a picture that nobody looks at any more would lie
      await sleep(1000);
    }
  }
}

function framesPerSecond(scene) {
  const now = performance.now();
  scene.ticks = [...scene.ticks, now].filter((at) => now - at < 4000);
  const rate = scene.ticks.length / 4;
  return rate < 2 ? rate.toFixed(1) : Math.round(rate);
}

function draw({ layer, drawn, log, visits }, tracks) {
  const alive = new Set(tracks.map((track) => track.id));
  for (const [id, node] of drawn) if (!alive.has(id)) { node.remove(); drawn.delete(id); }
  for (const track of tracks) {
    const node = drawn.get(track.id) ?? open(layer, drawn, track.id);
    place(node, track.box);
    node.className = `box ${track.name ? "matched" : "unknown"}`;
    node.firstChild.textContent = track.name ?? text.recognise.unknown;
    if (track.name) seen(log, visits, track.name);
  }
}

function open(layer, drawn, id) {
  const node = h("div", { className: "box unknown" }, h("span", { className: "tag", dir: "auto" }));
  layer.append(node);
  drawn.set(id, node);
  return node;
}

function seen(log, visits, name) {
  const now = Date.now();
  const last = visits.get(name);
  visits.set(name, now);
  if (last && now - last < SAME_VISIT_MS) return;
  if (visits.size === 1 && !last) log.replaceChildren();
  log.prepend(h("li", {}, h("time", {}, new Date(now).toLocaleTimeString()), h("strong", { dir: "auto" }, name)));
}
