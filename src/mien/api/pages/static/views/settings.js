// Sets the threshold as an error rate in words, beside the model's measured curve; takes the API key; shows the state.

import { api } from "../api.js";
import { h, table } from "../dom.js";
import { actionButton, errorWithRetry, spinner } from "../feedback.js";
import { dateTime, gigabytes, number, similarity as written } from "../format.js";
import { keyForm } from "../key.js";
import { knownPeople, threshold } from "../state.js";
import { serverSentence, text } from "../strings.js";

const t = text.settings;
const SVG = "http://www.w3.org/2000/svg";
// The slider's steps: 4 stands for one wrong match in 10^4 comparisons.
const EXPONENTS = { min: 2, max: 6, step: 0.5 };
const SIMILARITIES = { min: 50, max: 100, step: 0.5 };
const IS_NARROW = globalThis.matchMedia?.("(max-width: 30rem)").matches;
const CURVE_SIZE = IS_NARROW ? { width: 360, height: 220, left: 124 } : { width: 640, height: 240, left: 180 };
const CURVE = { ...CURVE_SIZE, right: 16, top: 14, bottom: 34, minRate: 1e-6 };

export function render() {
  const thresholdPanel = h("section", { class: "panel" }, spinner());
  const healthPanel = h("section", { class: "panel", hidden: true }, h("h2", {}, t.health), spinner());
  const keyPanel = h("div", { hidden: true });
  const load = async () => {
    const system = api.system().catch(() => null); // not on AWS, and not with every key
    await showThreshold(thresholdPanel);
    keyPanel.hidden = (await system)?.requires_key === false;
    healthPanel.hidden = false; // not before: each panel would push the next one down
    showHealth(healthPanel, await system, load);
  };
  keyPanel.append(keyForm("key", load, { className: "panel" }));
  load();
  return h("div", {}, h("h1", {}, t.title), thresholdPanel, keyPanel, healthPanel);
}

async function showThreshold(panel) {
  const title = h("h2", {}, t.threshold);
  try {
    const { points, default_threshold: usual } = await api.calibration();
    const people = await knownPeople().catch(() => null); // not with every key
    const show = points.length ? errorRates : plainSimilarity;
    panel.replaceChildren(title, h("p", { class: "note" }, t.thresholdHint), ...show(panel, points, usual, people));
  } catch (error) {
    panel.replaceChildren(title, ...errorWithRetry(error, () => showThreshold(panel)));
  }
}

function errorRates(panel, points, usual, people) {
  const chosen = Number(threshold.get() ?? usual);
  const curve = rateCurve(points);
  const toSimilarity = (exponent) => similarityAt(points, exponent).toFixed(1);
  const describe = (value) => [
    people && h("strong", {}, effect(points, value, people)),
    h(
      "span",
      { class: "note" },
      t.oneIn(number(oneIn(rateAt(points, value)))),
      ` · ${text.similarity(written(value))}`,
    ),
  ];
  const onChanged = (value) => curve.mark(rateAt(points, value), value);
  const range = { ...EXPONENTS, value: nearestExponent(points, chosen) };
  const field = slider(panel, range, { toSimilarity, describe, chosen, onChanged });
  return [field, curve.figure];
}

function plainSimilarity(panel, _points, usual) {
  const chosen = Number(threshold.get() ?? usual);
  const describe = (value) => [text.similarity(value)];
  const range = { ...SIMILARITIES, value: chosen };
  return [slider(panel, range, { toSimilarity: String, describe, chosen }), h("p", { class: "note" }, t.unmeasured)];
}

function slider(panel, attributes, { toSimilarity, describe, chosen, onChanged = () => {} }) {
  const range = h("input", { type: "range", id: "sure", ...attributes });
  const words = h("output", { for: "sure" });
  const show = (value) => {
    words.replaceChildren(...describe(value).filter(Boolean));
    onChanged(value);
  };
  show(chosen);
  const reset = actionButton(
    t.reset,
    () => {
      threshold.reset();
      return showThreshold(panel);
    },
    "link",
  );
  reset.hidden = threshold.get() === undefined;
  range.addEventListener("input", () => {
    const value = toSimilarity(range.valueAsNumber);
    threshold.set(value);
    reset.hidden = false;
    show(Number(value));
  });
  const ends = h(
    "div",
    { class: "ends note", "aria-hidden": "true" },
    h("span", {}, t.lenient),
    h("span", {}, t.strict),
  );
  const label = h("label", { for: "sure", class: "visually-hidden" }, t.threshold);
  return h("div", { class: "field" }, label, range, ends, words, h("div", {}, reset));
}

/** Say how many strangers would be given a name among those who are enrolled. */
function effect(points, value, people) {
  const faces = people.reduce((sum, { face_count: count }) => sum + count, 0);
  if (!faces) return t.nobodyEnrolled;
  return t.effect(people.length, number(oneIn(strangersNamed(rateAt(points, value), faces))));
}

const oneIn = (rate) => Number((1 / rate).toPrecision(rate > 1e-4 ? 3 : 1));

/** The share of strangers who would be given a name among so many enrolled faces: 1 - (1 - FMR)^N. */
export const strangersNamed = (fmr, faces) => -Math.expm1(faces * Math.log1p(-fmr));

/** The false match rate at a similarity: between two points of the curve, its logarithm lies on a line. */
export function rateAt(points, similarity) {
  const next = points.findIndex((point) => point.similarity >= similarity);
  if (next < 1) return points.at(next).fmr;
  const [below, above] = [points[next - 1], points[next]];
  const share = (similarity - below.similarity) / (above.similarity - below.similarity);
  return below.fmr * (above.fmr / below.fmr) ** share;
}

/** Find the least similarity that at most one in 10^exponent pairs of strangers reaches. */
export function similarityAt(points, exponent) {
  const point = points.find(({ fmr }) => fmr <= 10 ** -exponent) ?? points.at(-1);
  return point.similarity;
}

/** Find the slider's step whose similarity is nearest to the given one. */
export function nearestExponent(points, similarity) {
  const distance = (exponent) => Math.abs(similarityAt(points, exponent) - similarity);
  let nearest = EXPONENTS.min;
  for (let exponent = EXPONENTS.min; exponent <= EXPONENTS.max; exponent += EXPONENTS.step) {
    if (distance(exponent) < distance(nearest)) nearest = exponent;
  }
  return nearest;
}

/** Draw the curve. Returns its figure, and the function that marks a rate and a similarity on it. */
function rateCurve(points) {
  const { width, height, left, right } = CURVE;
  const attributes = { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": t.curve };
  const svg = svgNode("svg", attributes);
  for (const similarity of [0, 20, 40, 60, 80, 100]) svg.append(svgText(curveX(similarity), height - 8, similarity));
  for (const exponent of [0, 2, 4, 6]) {
    const y = curveY(10 ** -exponent);
    const words = exponent ? t.oneInShort(number(10 ** exponent)) : t.everyStranger;
    svg.append(
      svgNode("path", { d: `M${left},${y}H${width - right}`, class: "rule" }),
      svgText(left - 10, y + 4, words, "end"),
    );
  }
  svg.append(svgNode("path", { d: curvePath(points), class: "line" }));
  const line = svgNode("path", { class: "marker" });
  const dot = svgNode("circle", { r: 6, class: "dot-marker" });
  svg.append(line, dot);
  const mark = (rate, similarity) => {
    const [x, y] = [curveX(similarity), curveY(Math.max(rate, CURVE.minRate))];
    line.setAttribute("d", `M${left},${y}H${x}V${height - CURVE.bottom}`);
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
  };
  return { figure: h("figure", {}, svg, h("figcaption", { class: "note" }, t.curve)), mark };
}

// The similarity is to the right, the rate downwards: a decade has the same height everywhere.
const curveX = (similarity) => CURVE.left + (similarity / 100) * (CURVE.width - CURVE.left - CURVE.right);
const curveY = (rate) =>
  CURVE.top + (Math.log10(Math.min(1, rate)) / Math.log10(CURVE.minRate)) * (CURVE.height - CURVE.top - CURVE.bottom);

/** Build the path of the SVG through all points with a rate that can be shown. */
export function curvePath(points) {
  const shown = points.filter(({ fmr }) => fmr >= CURVE.minRate);
  const corners = shown.map(({ similarity, fmr }) => `${curveX(similarity).toFixed(1)},${curveY(fmr).toFixed(1)}`);
  return corners.length ? `M${corners.join("L")}` : "";
}

function svgNode(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  node.append(...children);
  return node;
}

const svgText = (x, y, words, anchor = "middle") => svgNode("text", { x, y, "text-anchor": anchor }, String(words));

async function showHealth(panel, system, retry) {
  const title = h("h2", {}, t.health);
  try {
    const { remarks, version } = await api.health();
    const people = await knownPeople().catch(() => null);
    const sentences = remarks.map((remark) => h("p", { class: "problem" }, warningSentence(remark)));
    const words = h("p", {}, remarks.length ? t.works : t.healthy);
    panel.replaceChildren(title, words, ...sentences, table(facts(version, system, people)));
  } catch (error) {
    panel.replaceChildren(title, h("p", { class: "problem" }, t.unhealthy), ...errorWithRetry(error, retry));
  }
}

function warningSentence({ code, message, parameters: { oldest, ...others } }) {
  return serverSentence(code, message, { ...others, oldest: oldest && dateTime(oldest) });
}

function thresholdInWords(given) {
  if (given === "auto") return t.automatic;
  return Number(given) >= 1 ? text.similarity(written(Number(given))) : given; // else an error rate, as it was set
}

function facts(version, system, people) {
  const rows = [[t.version, version]];
  if (people) {
    const photos = people.reduce((sum, { face_count: count }) => sum + count, 0);
    rows.push([t.enrolled, `${text.peopleCount(people.length)}, ${text.photos(photos)}`]);
  }
  if (!system) return rows;
  rows.push([t.serverThreshold, thresholdInWords(system.threshold)]);
  if (system.data_dir !== null) rows.push([t.dataFolder, system.data_dir]);
  if (system.free_bytes !== null) rows.push([t.freeSpace, gigabytes(system.free_bytes)]);
  return rows;
}
