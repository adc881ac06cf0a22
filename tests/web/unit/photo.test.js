import assert from "node:assert/strict";
import { test } from "node:test";
import { cropSquare, fitInto } from "#page/photo.js";

test("a photo is scaled down to the longest side, and never up", () => {
  assert.deepEqual(fitInto(2048, 4096, 3000), [2048, 1500]);
  assert.deepEqual(fitInto(2048, 3000, 4096), [1500, 2048]);
  assert.deepEqual(fitInto(2048, 640, 480), [640, 480]);
});

test("the crop is a square around the middle of the face", () => {
  const box = { left: 0.4, top: 0.4, width: 0.1, height: 0.2 };
  assert.deepEqual(cropSquare(1000, 1000, box, 0), { x: 350, y: 400, side: 200 });
  assert.deepEqual(cropSquare(1000, 1000, box, 0.5), { x: 250, y: 300, side: 400 });
});

test("a crop at the edge is moved into the photo", () => {
  const corner = { left: 0.9, top: -0.05, width: 0.1, height: 0.1 };
  assert.deepEqual(cropSquare(1000, 1000, corner, 0.5), { x: 800, y: 0, side: 200 });
});

test("a crop is no larger than the shorter side of the photo", () => {
  const box = { left: 0.25, top: 0.1, width: 0.5, height: 0.8 };
  assert.deepEqual(cropSquare(1000, 500, box, 0.5), { x: 250, y: 0, side: 500 });
});
