// Uploads photos of one person, a line per file with its progress and, if refused, the reason.

import { api, indexed } from "./api.js";
import { action, h } from "./dom.js";
import { open } from "./photo.js";
import { text } from "./strings.js";

const words = text.people.uploadState;
const AT_ONCE = 3;

// `taken` is called when a photo that failed at first is taken after all; answers how many were taken.
export async function uploader(files, name, list, taken) {
  const lines = files.map((file) => {
    const state = h("span", {}, words.pending);
    const line = h("li", {}, h("span", { dir: "auto" }, file.name), state);
    list.append(line);
    return { file, line, state, name, taken };
  });
  const queue = [...lines];
  const outcomes = [];
  const worker = async () => { for (let next = queue.shift(); next; next = queue.shift()) outcomes.push(await one(next)); };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return outcomes.filter(Boolean).length;
}

async function one(entry) {
  const { file, line, state, name, taken } = entry;
  try {
    line.className = "";
    state.textContent = words.uploading;
    const photo = await open(file);
    URL.revokeObjectURL(photo.url);
    const upload = await api.upload(photo.blob, name);
    state.textContent = words.pending;
    const result = await indexed(upload);
    if (result.status === "failed") throw new Error([words.failed, ...result.reasons].join(" · "));
    const notes = result.status === "rejected" ? result.reasons : result.warnings;
    state.textContent = [words[result.status], ...(notes ?? [])].join(" · ");
    line.className = result.status;
    return result.status === "indexed";
  } catch (error) {
    const again = action(text.again, async () => { if (await one(entry)) taken(); }, "link again");
    state.replaceChildren(error.message, " ", again);
    line.className = "rejected";
    return false;
  }
}
