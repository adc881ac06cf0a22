// The threshold as an error rate in words, with the model's measured curve; the API key; health.

import { api } from "../api.js";
import { busy, failure, h, spinner } from "../dom.js";
import { keyField, use } from "../key.js";
import { threshold } from "../state.js";
import { text } from "../strings.js";

const t = text.settings;
const SVG = "http://www.w3.org/2000/svg";

export function render() {
  const sure = h("section", { className: "panel" });
  const health = h("section", { className: "panel" }, h("h2", {}, t.health), spinner(text.recognise.working));
  const view = h("div", {}, h("h1", {}, t.title), sure, keyForm(() => { fill(sure); check(health); }), health);
  fill(sure);
  check(health);
  return view;
}

async function fill(panel) {
  try {
    const { points, default_threshold: usual } = await api.calibration();
    const parts = points.length ? [slider(points, usual), curve(points)] : [plainSlider(usual)];
    panel.replaceChildren(h("h2", {}, t.threshold), ...parts);
  } catch (error) {
    panel.replaceChildren(h("h2", {}, t.threshold), ...failure(error, () => fill(panel)));
  }
}

function slider(points, usual) {
  // The slider moves over the exponent: each step to the right is a rarer wrong match.
  const exponents = [2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6];
  const similarityAt = (exponent) => points.find((p) => p.fmr <= 10 ** -exponent)?.similarity ?? points.at(-1).similarity;
  const chosen = Number(threshold.get() || usual);
  const nearest = exponents.reduce((a, b) => (Math.abs(similarityAt(b) - chosen) < Math.abs(similarityAt(a) - chosen) ? b : a));
  const range = h("input", { type: "range", id: "sure", min: 2, max: 6, step: 0.5, value: nearest });
  const words = h("output", { htmlFor: "sure" });
  const say = () => {
    const exponent = Number(range.value);
    const similarity = similarityAt(exponent).toFixed(1);
    words.textContent = `${t.oneIn(Number((10 ** exponent).toPrecision(1)))} (${t.similarity(similarity)})`;
    return similarity;
  };
  range.addEventListener("input", () => threshold.set(say()));
  say();
  return h("div", { className: "field" }, h("label", { htmlFor: "sure", className: "sr" }, t.threshold), range, words);
}

function plainSlider(usual) {
  const range = h("input", { type: "range", id: "sure", min: 50, max: 100, step: 0.5, value: threshold.get() || usual });
  const words = h("output", { htmlFor: "sure" });
  const say = () => { words.textContent = t.similarity(range.value); return range.value; };
  range.addEventListener("input", () => threshold.set(say()));
  say();
  return h("div", { className: "field" }, h("label", { htmlFor: "sure", className: "sr" }, t.threshold), range, words, h("p", { className: "note" }, t.unmeasured));
}

function curve(points) {
  const width = 480, height = 190, pad = 34;
  const x = (similarity) => pad + (similarity / 100) * (width - 2 * pad);
  const y = (fmr) => pad / 2 + (Math.min(0, Math.log10(fmr)) / -6) * (height - 1.5 * pad);
  const shown = points.filter((p) => p.fmr >= 1e-6);
  const line = shown.map((p, i) => `${i ? "L" : "M"}${x(p.similarity).toFixed(1)},${y(p.fmr).toFixed(1)}`).join("");
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": t.curve },
    node("path", { d: line, class: "line" }));
  for (const tick of [0, 20, 40, 60, 80, 100]) svg.append(label(x(tick), height - 6, tick));
  for (const power of [0, 2, 4, 6]) {
    const at = y(10 ** -power);
    svg.append(node("path", { d: `M${pad},${at}H${width - pad}`, class: "rule" }), label(pad - 4, at + 4, power ? `1:10${superscript(power)}` : "1", "end"));
  }
  return h("figure", {}, svg, h("figcaption", { className: "note" }, t.curve));
}

const superscript = (digit) => "⁰¹²³⁴⁵⁶"[digit];

function node(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const label = (x, y, words, anchor = "middle") => node("text", { x, y, "text-anchor": anchor }, String(words));

function keyForm(done) {
  const parts = keyField("key");
  const button = h("button", {}, t.keySave);
  const form = h("form", { className: "panel" }, parts.field, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(button, async () => { await use(parts); done(); });
  });
  return form;
}

async function check(panel) {
  let rows;
  try {
    const health = await api.health();
    rows = [h("p", {}, t.healthy), h("table", {}, h("tbody", {}, Object.entries(health).map(([name, value]) =>
      h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value))))))];
  } catch (error) {
    rows = [h("p", { className: "problem" }, t.unhealthy), ...failure(error, () => check(panel))];
  }
  panel.replaceChildren(h("h2", {}, t.health), ...rows);
}
