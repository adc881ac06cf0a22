import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const PAGES = new URL("../../../src/mien/api/pages/", import.meta.url);
const FIRST = ["static/main.js", "static/views/recognize.js"];

/** Add a module and all that it imports, except those that are imported later. */
async function follow(address, found) {
  if (found.has(address)) return;
  found.add(address);
  const source = await readFile(new URL(address, PAGES), "utf8");
  for (const [, path] of source.matchAll(/^(?:import|\}) .*?"(\.[^"]+)";$/gm)) {
    await follow(new URL(path, `http://page/${address}`).pathname.slice(1), found);
  }
}

test("the page asks at once for every module of the first view", async () => {
  const needed = new Set();
  for (const address of FIRST) await follow(address, needed);
  const page = await readFile(new URL("index.html", PAGES), "utf8");
  const preloaded = [...page.matchAll(/rel="modulepreload" href="([^"]+)"/g)].map(([, address]) => address);
  assert.deepEqual(preloaded.sort(), [...needed].sort());
});
