import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { forgetPeople, knownPeople, threshold, usesOwnEngine } from "#page/state.js";
import { json, resetBrowser, serve } from "./browser.js";

const ann = { user_id: "p-1", name: "Ann" };
const ben = { user_id: "Ben", name: "Ben" };

beforeEach(() => {
  resetBrowser();
  forgetPeople();
});

test("without a choice, the server's threshold holds", () => {
  assert.equal(threshold.get(), undefined);
  threshold.set("91.5");
  assert.equal(threshold.get(), "91.5");
});

test("a browser without storage keeps the choice while the page is open", () => {
  Object.defineProperty(globalThis, "localStorage", {
    get() {
      throw new Error("SecurityError");
    },
    configurable: true,
  });
  threshold.set("91.5");
  assert.equal(threshold.get(), "91.5");
  threshold.reset();
  assert.equal(threshold.get(), undefined);
});

test("people of all pages are fetched once, until they change", async () => {
  const requests = serve(({ url }) =>
    url.includes("cursor") ? json({ users: [ben], next_cursor: null }) : json({ users: [ann], next_cursor: "next" }),
  );
  assert.deepEqual(await Promise.all([knownPeople(), knownPeople()]), [
    [ann, ben],
    [ann, ben],
  ]);
  assert.equal(requests.length, 2);
  forgetPeople();
  await knownPeople();
  assert.equal(requests.length, 4);
});

test("people that could not be fetched are asked for again", async () => {
  serve(() => json({}, 500));
  await assert.rejects(knownPeople());
  serve(() => json({ users: [], next_cursor: null }));
  assert.deepEqual(await knownPeople(), []);
});

test("a recogniser without published error rates is not Mien's engine", async () => {
  serve(() => json({ points: [{ similarity: 50, fmr: 0.5 }] }));
  assert.equal(await usesOwnEngine(), true);
  serve(() => json({ points: [] }));
  assert.equal(await usesOwnEngine(), false);
  serve(() => json({}, 500));
  assert.equal(await usesOwnEngine(), false);
});
