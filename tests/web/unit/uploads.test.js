import assert from "node:assert/strict";
import { test } from "node:test";
import { taskQueue } from "#page/task-queue.js";
import { describeUpload } from "#page/uploader.js";

/** A task that runs until `finish` is called, and notes its start in `started`. */
function task(name, started) {
  let finish;
  const finished = new Promise((resolve) => {
    finish = resolve;
  });
  const run = () => {
    started.push(name);
    return finished;
  };
  return { run, finish };
}

const settle = () => new Promise((done) => setImmediate(done));

test("no more tasks run than allowed, and the next one starts when one ends", async () => {
  const started = [];
  const enqueue = taskQueue(2);
  const tasks = ["a", "b", "c", "d"].map((name) => task(name, started));
  const results = tasks.map(({ run }) => enqueue(run));
  assert.deepEqual(started, ["a", "b"]);
  tasks[1].finish("second");
  assert.equal(await results[1], "second");
  await settle();
  assert.deepEqual(started, ["a", "b", "c"]);
  for (const { finish } of tasks) finish();
  await Promise.all(results);
  assert.deepEqual(started, ["a", "b", "c", "d"]);
});

test("a task that fails does not hold up the others", async () => {
  const enqueue = taskQueue(1);
  const failing = enqueue(() => Promise.reject(new Error("no")));
  const next = enqueue(async () => "yes");
  await assert.rejects(failing, { message: "no" });
  assert.equal(await next, "yes");
});

test("an upload is described with its reasons or its warnings", () => {
  const remarks = [
    { code: "low_sharpness", message: "Blurred." },
    { code: "a_new_one", message: "Try later." },
  ];
  assert.equal(describeUpload({ status: "indexed", remarks: remarks.slice(0, 1) }), "added · Blurred.");
  assert.equal(describeUpload({ status: "rejected", remarks }), "not added · Blurred. · Try later.");
  assert.equal(describeUpload({ status: "pending" }), "waiting");
});
