import assert from "node:assert/strict";
import { test } from "node:test";
import { firstKnown, LANGUAGES, serverSentence } from "#page/strings.js";

const texts = {};
for (const code of Object.keys(LANGUAGES)) {
  texts[code] = (await import(`#page/languages/${code}.js`)).text;
}

// What the server says: it speaks English itself.
const { server: _none, ...english } = texts.en;
const { server } = texts.de;

/** List every sentence with its place; a function with the number of its arguments. */
function sentences(node, place = "") {
  if (typeof node === "string") return [[place, "string"]];
  if (typeof node === "function") return [[place, `function of ${node.length}`]];
  return Object.entries(node).flatMap(([key, value]) => sentences(value, `${place}.${key}`));
}

function strings(node) {
  return typeof node === "string" ? [node] : typeof node === "object" ? Object.values(node).flatMap(strings) : [];
}

for (const code of Object.keys(LANGUAGES)) {
  test(`${code} has every sentence, and none that English lacks`, () => {
    const wanted = code === "en" ? { ...english, server: {} } : { ...english, server };
    assert.deepEqual(sentences(texts[code]).sort(), sentences(wanted).sort());
    for (const sentence of strings(texts[code])) assert.notEqual(sentence.trim(), "");
  });

  test(`${code} counts one and many`, () => {
    const { photos, peopleCount, recognize, history, people } = texts[code];
    for (const words of [photos, peopleCount, recognize.faces, history.removed, people.forgetText]) {
      assert.match(words(1), /1/);
      assert.match(words(1234), /1.?234/);
    }
  });
}

for (const code of Object.keys(LANGUAGES).filter((each) => each !== "en")) {
  test(`${code} has all that varies in what the server says`, () => {
    const varying = Object.values(texts[code].server).filter((words) => typeof words === "function");
    assert.ok(varying.length > 0);
    for (const words of varying) {
      const sentence = words({ count: 1234, minutes: 60, oldest: "28 November", ids: "a, b" });
      assert.match(sentence, /1.?234/);
      assert.doesNotMatch(sentence, /undefined/);
    }
  });
}

test("where a language has no words for what the server says, its own sentence is shown", () => {
  assert.equal(serverSentence("of_a_newer_version", "Something new.", { count: 3 }), "Something new.");
});

test("the browser's languages decide, and English where none is known", () => {
  assert.equal(firstKnown([null, "pt-BR", "de-AT", "en"]), "de");
  assert.equal(firstKnown(["ja", "de"]), "ja");
  assert.equal(firstKnown(["pt"]), "en");
  assert.equal(firstKnown(["toString", "constructor"]), "en");
});
