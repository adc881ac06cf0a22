import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forgetNames, knownNames, threshold, usesOwnEngine } from "#page/state.js";
import { json, resetBrowser, serve } from "./browser.js";

beforeEach(() => {
  resetBrowser();
  forgetNames();
});

test("without a choice, the server's threshold holds", () => {
  assert.equal(threshold.get(), undefined);
  threshold.set("91.5");
  assert.equal(threshold.get(), "91.5");
});

test("names of all pages are fetched once, until they change", async () => {
  const requests = serve(({ url }) =>
    url.includes("cursor")
      ? json({ users: [{ user_id: "Ben" }], next_cursor: null })
      : json({ users: [{ user_id: "Ann" }], next_cursor: "next" }),
  );
  assert.deepEqual(await Promise.all([knownNames(), knownNames()]), [
    ["Ann", "Ben"],
    ["Ann", "Ben"],
  ]);
  assert.equal(requests.length, 2);
  forgetNames();
  await knownNames();
  assert.equal(requests.length, 4);
});

test("names that could not be fetched are asked for again", async () => {
  serve(() => json({}, 500));
  await assert.rejects(knownNames());
  serve(() => json({ users: [], next_cursor: null }));
  assert.deepEqual(await knownNames(), []);
});

test("a recogniser without published error rates is not Mien's engine", async () => {
  serve(() => json({ points: [{ similarity: 50, fmr: 0.5 }] }));
  assert.equal(await usesOwnEngine(), true);
  serve(() => json({ points: [] }));
  assert.equal(await usesOwnEngine(), false);
  serve(() => json({}, 500));
  assert.equal(await usesOwnEngine(), false);
});
