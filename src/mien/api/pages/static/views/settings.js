// Sets the threshold as an error rate in words, beside the model's measured curve; takes the API key; shows health.

import { api } from "../api.js";
import { fieldTable, h } from "../dom.js";
import { errorWithRetry, spinner } from "../feedback.js";
import { keyForm } from "../key.js";
import { threshold } from "../state.js";
import { text } from "../strings.js";

const t = text.settings;
const SVG = "http://www.w3.org/2000/svg";
// The slider's steps: 4 stands for one wrong match in 10^4 comparisons.
const EXPONENTS = { min: 2, max: 6, step: 0.5 };
const SIMILARITIES = { min: 50, max: 100, step: 0.5 };
const CURVE = { width: 480, height: 190, pad: 34, minRate: 1e-6 };

export function render() {
  const thresholdPanel = h("section", { class: "panel" });
  const healthPanel = h("section", { class: "panel" }, h("h2", {}, t.health), spinner());
  const load = () => {
    showThreshold(thresholdPanel);
    showHealth(healthPanel);
  };
  load();
  return h("div", {}, h("h1", {}, t.title), thresholdPanel, keyForm("key", load, { className: "panel" }), healthPanel);
}

async function showThreshold(panel) {
  const title = h("h2", {}, t.threshold);
  try {
    const { points, default_threshold: usual } = await api.calibration();
    const controls = points.length ? [errorRateSlider(points, usual), rateCurve(points)] : [similaritySlider(usual)];
    panel.replaceChildren(title, ...controls);
  } catch (error) {
    panel.replaceChildren(title, ...errorWithRetry(error, () => showThreshold(panel)));
  }
}

function errorRateSlider(points, usual) {
  const chosen = Number(threshold.get() ?? usual);
  const similarity = (exponent) => similarityAt(points, exponent).toFixed(1);
  const describe = (exponent) => `${t.oneIn(comparisons(exponent))} (${text.similarity(similarity(exponent))})`;
  return slider({ ...EXPONENTS, value: nearestExponent(points, chosen) }, similarity, describe);
}

function similaritySlider(usual) {
  const field = slider({ ...SIMILARITIES, value: threshold.get() ?? usual }, String, text.similarity);
  field.append(h("p", { class: "note" }, t.unmeasured));
  return field;
}

function slider(attributes, toSimilarity, describe) {
  const range = h("input", { type: "range", id: "sure", ...attributes });
  const words = h("output", { for: "sure" }, describe(range.valueAsNumber));
  range.addEventListener("input", () => {
    threshold.set(toSimilarity(range.valueAsNumber));
    words.textContent = describe(range.valueAsNumber);
  });
  return h("div", { class: "field" }, h("label", { for: "sure", class: "visually-hidden" }, t.threshold), range, words);
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

/** Round 10^exponent to one digit. */
export const comparisons = (exponent) => Number((10 ** exponent).toPrecision(1));

function rateCurve(points) {
  const { width, height, pad } = CURVE;
  const attributes = { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": t.curve };
  const svg = svgNode("svg", attributes, svgNode("path", { d: curvePath(points), class: "line" }));
  for (const similarity of [0, 20, 40, 60, 80, 100]) svg.append(svgText(curveX(similarity), height - 6, similarity));
  for (const exponent of [0, 2, 4, 6]) {
    const y = curveY(10 ** -exponent);
    const rule = svgNode("path", { d: `M${pad},${y}H${width - pad}`, class: "rule" });
    svg.append(rule, svgText(pad - 4, y + 4, exponent ? `1:10${"⁰¹²³⁴⁵⁶"[exponent]}` : "1", "end"));
  }
  return h("figure", {}, svg, h("figcaption", { class: "note" }, t.curve));
}

// The similarity is to the right, the rate downwards: a decade has the same height everywhere.
const curveX = (similarity) => CURVE.pad + (similarity / 100) * (CURVE.width - 2 * CURVE.pad);
const curveY = (rate) =>
  CURVE.pad / 2 + (Math.log10(Math.min(1, rate)) / Math.log10(CURVE.minRate)) * (CURVE.height - 1.5 * CURVE.pad);

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

async function showHealth(panel) {
  const title = h("h2", {}, t.health);
  try {
    const { warnings, ...health } = await api.health();
    const sentences = warnings.map((warning) => h("p", { class: "problem" }, warning));
    panel.replaceChildren(title, h("p", {}, warnings.length ? t.works : t.healthy), ...sentences, fieldTable(health));
  } catch (error) {
    const retry = () => showHealth(panel);
    panel.replaceChildren(title, h("p", { class: "problem" }, t.unhealthy), ...errorWithRetry(error, retry));
  }
}
