import assert from "node:assert/strict";
import { test } from "node:test";
import { personLink, placeAt } from "#page/dom.js";
import { faceLabel } from "#page/face-overlay.js";
import { similarity } from "#page/format.js";
import { summarizeFaces } from "#page/summary.js";
import { toCsv } from "#page/views/history.js";

const ann = { status: "matched", user_id: "p-1", name: "Ann" };
const unknown = { status: "unknown", user_id: null, name: null };
const candidates = ["Ann", "Ben", "Cem"].map((name) => ({ user_id: `p-${name}`, name }));
const ambiguous = { status: "ambiguous", user_id: null, name: null, candidates };

test("a face is labelled with its person, its two likeliest people, or as unknown", () => {
  assert.equal(faceLabel(ann), "Ann");
  assert.equal(faceLabel(ambiguous), "Ann or Ben");
  assert.equal(faceLabel(unknown), "Unknown");
});

test("a similarity has one decimal and never says 100", () => {
  assert.equal(similarity(80), "80.0");
  assert.equal(similarity(64.1), "64.1");
  assert.equal(similarity(96.19), "96.1");
  assert.equal(similarity(100), "99.9");
});

test("a box is placed in per cent of the photo", () => {
  const node = { style: {} };
  placeAt(node, { left: 0.25, top: 0, width: 0.5, height: 1 });
  assert.deepEqual(node.style, { left: "25%", top: "0%", width: "50%", height: "100%" });
});

test("a summary names everybody once and counts the unknown faces", () => {
  assert.equal(summarizeFaces([]), "No face");
  assert.equal(summarizeFaces([ann, unknown, ann, ambiguous, unknown]), "Ann, Ann or Ben, 2 unknown");
  assert.equal(summarizeFaces([unknown]), "1 unknown");
  assert.equal(summarizeFaces([{ ...ann, name: "\u202eAnn" }, unknown]), "Ann, 1 unknown");
});

test("a name becomes one part of an address", () => {
  assert.equal(personLink("a/b c?#%"), "#/person/a%2Fb%20c%3F%23%25");
});

test("CSV quotes every cell and disarms formulas", () => {
  const rows = [
    ["name", "similarity"],
    ['=1+1"', 99.5],
    ["+1", null],
    ["@x", undefined],
    ["-x", "a,b"],
  ];
  const expected = ['"name","similarity"', `"'=1+1""","99.5"`, `"'+1",""`, `"'@x",""`, `"'-x","a,b"`];
  assert.equal(toCsv(rows), expected.join("\r\n"));
});
