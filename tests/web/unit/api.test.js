import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ApiError, allPages, api, apiKey, connection, fetchPhoto, waitUntilIndexed } from "#page/api.js";
import { json, resetBrowser, serve } from "./browser.js";

beforeEach(resetBrowser);

/** The ApiError of a request that the server answers so. */
async function errorOf(response) {
  serve(() => response);
  const error = await api.health().catch((raised) => raised);
  assert.ok(error instanceof ApiError);
  return error;
}

/** Collect the details of an event of the connection. */
function collect(t, type) {
  const details = [];
  const listener = ({ detail }) => details.push(detail);
  connection.addEventListener(type, listener);
  t.after(() => connection.removeEventListener(type, listener));
  return details;
}

/** Make every timer elapse at once, and return the list that collects how long they would have taken. */
function skipTime(t) {
  const pauses = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (done, milliseconds) => {
    pauses.push(milliseconds);
    return setTimeout(done, 0);
  };
  t.after(() => {
    globalThis.setTimeout = setTimeout;
  });
  return pauses;
}

test("an error has the server's own sentence, and its status", async () => {
  const error = await errorOf(json({ title: "Not Found", detail: "No person is called Ann." }, 404));
  assert.equal(error.message, "No person is called Ann.");
  assert.equal(error.status, 404);
  assert.equal(error.problem.title, "Not Found");
  assert.equal((await errorOf(json({ title: "Not Found" }, 404))).message, "Not Found");
});

test("a file of any kind is sent as a photo, so that the server says which formats it reads", async () => {
  const requests = serve(() => json({}));
  for (const type of ["image/heic", "application/pdf", "text/markdown", "application/json", ""]) {
    await api.recognize(new Blob(["bytes"], { type }));
  }
  const sent = requests.map(({ headers }) => headers["Content-Type"]);
  assert.deepEqual(sent, ["image/heic", ...Array(4).fill("application/octet-stream")]);
});

test("a gateway's error gets a sentence", async () => {
  assert.equal((await errorOf(json({ message: "Too long" }, 413))).message, "This photo is too large to send.");
  assert.match((await errorOf(new Response("<html>", { status: 503 }))).message, /Too many requests/);
  assert.match((await errorOf(new Response("", { status: 504 }))).message, /too long/);
  assert.equal((await errorOf(new Response("", { status: 500 }))).message, "The server answered with an error (500).");
});

test("a refused request asks for a key, or says that the key was refused", async (t) => {
  const asked = collect(t, "key-needed");
  assert.equal((await errorOf(json({}, 401))).message, "This server requires an API key.");
  sessionStorage.setItem("mien-api-key", "revoked");
  assert.equal((await errorOf(json({}, 401))).message, "The API key was refused.");
  assert.deepEqual(asked, ["This server requires an API key.", "The API key was refused."]);
});

test("another key could help against 401 and 403 only", async () => {
  const statuses = [401, 403, 404, 500];
  const errors = await Promise.all(statuses.map((status) => new ApiError("", status)));
  assert.deepEqual(
    errors.map((error) => error.concernsKey),
    [true, true, false, false],
  );
});

test("a server that does not respond is told from one that takes too long", async (t) => {
  const reachable = collect(t, "reachability");
  serve(() => Promise.reject(new TypeError("fetch failed")));
  await assert.rejects(api.health(), { status: 0, message: /not responding/ });
  serve(() => Promise.reject(new DOMException("", "TimeoutError")));
  await assert.rejects(api.health(), { status: 0, message: /too long/ });
  serve(() => json({}));
  await api.health();
  assert.deepEqual(reachable, [false, false, true]);
});

test("an aborted request is no sign of an unreachable server", async (t) => {
  const reachable = collect(t, "reachability");
  serve(() => Promise.reject(new DOMException("", "AbortError")));
  await assert.rejects(api.health(), { name: "AbortError" });
  assert.deepEqual(reachable, []);
});

test("a request too many is sent again after a second or two, three times at most", async (t) => {
  const pauses = skipTime(t);
  const twice = serve((_, count) => json({}, count < 3 ? 429 : 200));
  await api.health();
  assert.equal(twice.length, 3);
  assert.ok(pauses.every((pause) => pause >= 1000 && pause <= 2000));
  const always = serve(() => json({ message: "Too Many Requests" }, 429));
  await assert.rejects(api.health(), { status: 429, message: /Too many requests/ });
  assert.equal(always.length, 4);
});

test("requests go to the page's own prefix, with the key and only the parameters that are set", async () => {
  sessionStorage.setItem("mien-api-key", "secret");
  const requests = serve(() => json({ faces: [] }));
  await api.recognize(new Blob(["x"], { type: "image/png" }), { threshold: undefined, store: "false" });
  const [{ url, method, headers }] = requests;
  assert.equal(url, "https://mien.test/stage/recognize?store=false");
  assert.equal(method, "POST");
  assert.deepEqual(headers, { Accept: "application/json", "X-Api-Key": "secret", "Content-Type": "image/png" });
});

test("names and image paths are escaped in addresses", async () => {
  const requests = serve(() => new Response(null, { status: 204 }));
  assert.equal(await api.forget("a/b?"), null);
  await api.uploadStatus("people/Ana María/1.jpg");
  assert.deepEqual(
    requests.map(({ url }) => url.replace("https://mien.test/stage", "")),
    ["/users/a%2Fb%3F", "/uploads/people/Ana%20Mar%C3%ADa/1.jpg"],
  );
});

test("a key is accepted if the server takes it, even for recognition only", async (t) => {
  const accepted = collect(t, "key-accepted");
  serve(({ headers }) => json({ users: [] }, headers["X-Api-Key"] === "guest" ? 403 : 200));
  await apiKey.use("guest");
  await apiKey.use("all");
  assert.equal(accepted.length, 2);
  serve(() => json({}, 401));
  await assert.rejects(apiKey.use("wrong"), { message: "The API key was refused." });
  assert.equal(accepted.length, 2);
});

test("an upload is polled until it is no longer pending, less and less often", async (t) => {
  const pauses = skipTime(t);
  const requests = serve((_, count) => json({ status: count < 3 ? "pending" : "indexed" }));
  const upload = await waitUntilIndexed({ status: "pending", image_path: "people/Ann/1.jpg" });
  assert.equal(upload.status, "indexed");
  assert.equal(requests.length, 3);
  assert.deepEqual(pauses.map(Math.round), [300, 360, 432]);
});

test("polling ends after a minute and a half", async (t) => {
  const pauses = skipTime(t);
  serve(() => json({ status: "pending" }));
  const upload = await waitUntilIndexed({ status: "pending", image_path: "people/Ann/1.jpg" });
  assert.equal(upload.status, "pending");
  const total = pauses.reduce((sum, pause) => sum + pause);
  assert.ok(total >= 90_000 && total < 93_000);
});

test("an upload that is already indexed is not polled", async () => {
  const requests = serve(() => json({}));
  const upload = { status: "indexed", image_path: "people/Ann/1.jpg" };
  assert.equal(await waitUntilIndexed(upload), upload);
  assert.equal(requests.length, 0);
});

test("all pages are read to the last", async () => {
  const pages = {
    undefined: { users: [1, 2], next_cursor: "a" },
    a: { users: [], next_cursor: "b" },
    b: { users: [3] },
  };
  const items = [];
  for await (const item of allPages(async (cursor) => pages[cursor], "users")) items.push(item);
  assert.deepEqual(items, [1, 2, 3]);
});

test("a photo is read from the bucket without the API key", async () => {
  sessionStorage.setItem("mien-api-key", "secret");
  const headers = { "Content-Type": "application/json" };
  const link = JSON.stringify({ url: "https://bucket.test/photo?signed", expires_in: 60 });
  const photo = new Response("photo", { headers: { "Content-Type": "image/jpeg" } });
  const requests = serve((_, number) => (number === 1 ? new Response(link, { headers }) : photo));
  URL.revokeObjectURL(await fetchPhoto("uploaded/Ada/1.jpg"));
  assert.deepEqual(
    requests.map((request) => [request.url, request.headers?.["X-Api-Key"]]),
    [
      ["https://mien.test/stage/images/uploaded/Ada/1.jpg", "secret"],
      ["https://bucket.test/photo?signed", undefined],
    ],
  );
});

test("a photo that the server sends itself is not read again", async () => {
  const requests = serve(() => new Response("photo", { headers: { "Content-Type": "image/jpeg" } }));
  URL.revokeObjectURL(await fetchPhoto("uploaded/Ada/1.heic"));
  assert.deepEqual(
    requests.map((request) => request.url),
    ["https://mien.test/stage/images/uploaded/Ada/1.heic?size=2048"],
  );
});
