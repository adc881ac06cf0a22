import assert from "node:assert/strict";
import { test } from "node:test";
import { curvePath, nearestExponent, rateAt, similarityAt, strangersNamed } from "#page/views/settings.js";

// One pair of strangers in 10^(similarity / 10) reaches a similarity.
const points = Array.from({ length: 101 }, (_, similarity) => ({ similarity, fmr: 10 ** (-similarity / 10) }));

test("an error rate has the least similarity that is rare enough", () => {
  assert.equal(similarityAt(points, 2), 20);
  assert.equal(similarityAt(points, 4.5), 45);
});

test("an error rate beyond the curve has its last similarity", () => {
  assert.equal(similarityAt(points.slice(0, 31), 6), 30);
});

test("the slider starts at the step nearest to the chosen similarity", () => {
  assert.equal(nearestExponent(points, 41), 4);
  assert.equal(nearestExponent(points, 44), 4.5);
  assert.equal(nearestExponent(points, 0), 2);
  assert.equal(nearestExponent(points, 100), 6);
});

test("a similarity has the rate of its point, and between two points one between theirs", () => {
  assert.equal(rateAt(points, 20), 1e-2);
  assert.ok(Math.abs(rateAt(points, 20.5) - 10 ** -2.05) < 1e-12);
  assert.equal(rateAt(points.slice(10), 5), 1e-1);
  assert.equal(rateAt(points.slice(0, 31), 80), 1e-3);
});

test("the more faces are enrolled, the more strangers are given a name", () => {
  assert.equal(Math.round(1 / strangersNamed(1e-4, 94)), 107);
  assert.ok(strangersNamed(1e-4, 100_000) > 0.9999);
});

test("the curve falls from the upper left, and ends where rates are too small to show", () => {
  const corners = curvePath(points)
    .slice(1)
    .split("L")
    .map((corner) => corner.split(",").map(Number));
  assert.deepEqual(corners[0], [180, 14]);
  assert.equal(corners.length, 61);
  for (let i = 1; i < corners.length; i += 1) {
    assert.ok(corners[i][0] > corners[i - 1][0]);
    assert.ok(corners[i][1] > corners[i - 1][1]);
  }
  assert.equal(curvePath([]), "");
});
