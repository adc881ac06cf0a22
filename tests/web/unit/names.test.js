import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, compareNames } from "#page/format.js";
import { placeLabels } from "#page/label-placement.js";
import { leftToRight, peopleLike, personCalled } from "#page/names.js";

const people = ["Zoë", "Tom", "Thomas", "李伟", "مريم"].map((name) => ({ name }));
const names = (found) => found.map(({ name }) => name);

test("a name in another case is the same person, one without its accent is not", () => {
  assert.equal(personCalled(people, " tom ").name, "Tom");
  assert.equal(personCalled(people, "ZOË").name, "Zoë");
  assert.equal(personCalled(people, "Zoe"), undefined);
});

test("people are found without accents, by any part of the name, its beginning first", () => {
  assert.deepEqual(names(peopleLike(people, "zoe")), ["Zoë"]);
  assert.deepEqual(names(peopleLike(people, "om")), ["Tom", "Thomas"]);
  assert.deepEqual(names(peopleLike(people, "tho")), ["Thomas"]);
  assert.deepEqual(names(peopleLike(people, "伟")), ["李伟"]);
  assert.deepEqual(names(peopleLike(people, "", 2)), ["Zoë", "Tom"]);
});

test("names are sorted as people read them", () => {
  assert.deepEqual(["Zoe 10", "Émile", "Zoë 9", "eva"].sort(compareNames), ["Émile", "eva", "Zoë 9", "Zoe 10"]);
});

test("faces are numbered from left to right", () => {
  const box = (left, top) => ({ bounding_box: { left, top, width: 0.1, height: 0.1 } });
  const faces = [box(0.7, 0), box(0.1, 0.5), box(0.1, 0.2)];
  assert.deepEqual(leftToRight(faces), [faces[2], faces[1], faces[0]]);
});

test("times are told in the largest unit that they fill", () => {
  const now = Date.parse("2026-11-28T12:00:00Z");
  assert.equal(ago("2026-11-28T11:59:50Z", now), "just now");
  assert.equal(ago("2026-11-28T10:00:00Z", now), "2 hours ago");
  assert.equal(ago("2026-11-27T11:00:00Z", now), "yesterday");
  assert.equal(ago("2027-01-01T00:00:00Z", now), "just now");
});

test("labels lie inside the photo and over no other", () => {
  const faces = [0, 1, 2, 3].map((i) => ({ left: 10 + i * 50, top: 240, width: 45, height: 55 }));
  const sizes = faces.map(() => ({ width: 90, height: 20 }));
  const placed = placeLabels(faces, sizes, { width: 220, height: 300 });
  for (const [i, a] of placed.entries()) {
    assert.ok(a.left >= 0 && a.left + 90 <= 220 && a.top >= 0 && a.top + 20 <= 300);
    for (const b of placed.slice(i + 1)) assert.ok(Math.abs(a.left - b.left) >= 90 || Math.abs(a.top - b.top) >= 20);
  }
});
