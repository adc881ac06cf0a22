import assert from "node:assert/strict";
import { test } from "node:test";
import { comparisons, curvePath, nearestExponent, similarityAt } from "#page/views/settings.js";

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

test("comparisons are round numbers", () => {
  assert.deepEqual([2, 2.5, 4, 6].map(comparisons), [100, 300, 10_000, 1_000_000]);
});

test("the curve falls from the upper left, and ends where rates are too small to show", () => {
  const corners = curvePath(points)
    .slice(1)
    .split("L")
    .map((corner) => corner.split(",").map(Number));
  assert.deepEqual(corners[0], [34, 17]);
  assert.equal(corners.length, 61);
  for (let i = 1; i < corners.length; i += 1) {
    assert.ok(corners[i][0] > corners[i - 1][0]);
    assert.ok(corners[i][1] > corners[i - 1][1]);
  }
  assert.equal(curvePath([]), "");
});
