import assert from "node:assert/strict";
import { test } from "node:test";
import { FaceTracker, intersectionOverUnion, majorityName } from "#page/tracker.js";

const BOX = { left: 0.4, top: 0.4, width: 0.2, height: 0.2 };
const moved = (box, by) => ({ ...box, left: box.left + by });
const matched = (name, box = BOX) => ({ status: "matched", user_id: `p-${name}`, name, bounding_box: box });
const unknown = (box = BOX) => ({ status: "unknown", user_id: null, name: null, bounding_box: box });
const names = (tracks) => tracks.map((track) => track.name);

/** Update a tracker with the same faces several times, and return the tracks of the last time. */
function repeat(tracker, faces, times, { start = 1000, gap = 100 } = {}) {
  let tracks = [];
  for (let i = 0; i < times; i += 1) tracks = tracker.update(faces, start + i * gap);
  return tracks;
}

test("the overlap of boxes is their intersection over their union", () => {
  assert.ok(Math.abs(intersectionOverUnion(BOX, BOX) - 1) < 1e-9);
  assert.ok(Math.abs(intersectionOverUnion(BOX, moved(BOX, 0.1)) - 1 / 3) < 1e-9);
  assert.equal(intersectionOverUnion(BOX, moved(BOX, 0.2)), 0);
  assert.equal(intersectionOverUnion(BOX, moved(BOX, -0.3)), 0);
});

test("a name needs more than half of the votes, and three", () => {
  assert.equal(majorityName([]), null);
  assert.equal(majorityName(["Ann", "Ann"]), null);
  assert.equal(majorityName(["Ann", "Ann", "Ann"]), "Ann");
  assert.equal(majorityName(["Ann", "Ann", "Ann", null, null, null]), null);
  assert.equal(majorityName([null, null, null, "Ann"]), null);
  assert.equal(majorityName(["Ben", "Ann", "Ann", "Ann", "Ben"]), "Ann");
});

test("a face is named by the third frame that agrees", () => {
  const tracker = new FaceTracker();
  const seen = [0, 100, 200].map((now) => names(tracker.update([matched("Vera")], now)));
  assert.deepEqual(seen, [[null], [null], ["Vera"]]);
});

test("a slow server names faces too", () => {
  const tracker = new FaceTracker();
  const seen = [1000, 3000, 5000, 7000].map((now) => names(tracker.update([matched("Vera")], now)));
  assert.deepEqual(seen, [[null], [null], ["Vera"], ["Vera"]]);
});

test("one frame that disagrees does not change a name", () => {
  const tracker = new FaceTracker();
  repeat(tracker, [matched("Ann")], 8);
  assert.deepEqual(names(tracker.update([matched("Ben")], 1800)), ["Ann"]);
  assert.deepEqual(names(tracker.update([unknown()], 1900)), ["Ann"]);
});

test("only the last eight frames vote", () => {
  const tracker = new FaceTracker();
  repeat(tracker, [matched("Ann")], 20);
  assert.deepEqual(names(repeat(tracker, [matched("Ben")], 4, { start: 3000 })), [null]);
  assert.deepEqual(names(tracker.update([matched("Ben")], 3400)), ["Ben"]);
});

test("a face that moves keeps its track, one that appears elsewhere gets another", () => {
  const tracker = new FaceTracker();
  const [first] = tracker.update([unknown()], 1000);
  const [same] = tracker.update([unknown(moved(BOX, 0.05))], 1100);
  assert.equal(same.id, first.id);
  assert.deepEqual(same.box, moved(BOX, 0.05));
  const both = tracker.update([unknown(moved(BOX, 0.05)), unknown(moved(BOX, 0.35))], 1200);
  assert.equal(both.length, 2);
  assert.notEqual(both[1].id, first.id);
});

test("two faces side by side keep their names", () => {
  const tracker = new FaceTracker();
  const right = moved(BOX, 0.1);
  const tracks = repeat(tracker, [matched("Ann"), matched("Ben", right)], 3);
  assert.deepEqual(names(tracks), ["Ann", "Ben"]);
  assert.deepEqual(names(tracker.update([matched("Ben", right), matched("Ann")], 1300)), ["Ann", "Ben"]);
});

test("a face that frames lack is dropped after 0.7 seconds", () => {
  const tracker = new FaceTracker();
  repeat(tracker, [matched("Ann")], 3, { start: 1000 });
  assert.deepEqual(names(repeat(tracker, [], 6, { start: 1300 })), ["Ann"]);
  assert.deepEqual(names(tracker.update([], 1900)), []);
});
