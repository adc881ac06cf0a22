// Limits how many tasks run at the same time.

/** Returns a function that runs an async task once a place is free, in the order of the calls, and gives its result. */
export function taskQueue(maxRunning) {
  const waiting = [];
  let running = 0;
  const startNext = async () => {
    if (running >= maxRunning || !waiting.length) return;
    running += 1;
    await waiting.shift()();
    running -= 1;
    startNext();
  };
  return (task) =>
    new Promise((resolve, reject) => {
      waiting.push(() => task().then(resolve, reject));
      startNext();
    });
}
