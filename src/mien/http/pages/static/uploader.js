// Uploads photos of one person, a line per file with its progress and, if refused, the reason.

import { api, indexed } from "./api.js";
import { h } from "./dom.js";
import { open } from "./photo.js";
import { text } from "./strings.js";

const words = text.people.uploadState;
const AT_ONCE = 3;

export async function uploader(files, name, list) {
  const lines = files.map((file) => {
    const state = h("span", {}, words.pending);
    const line = h("li", {}, h("span", { dir: "auto" }, file.name), state);
    list.append(line);
    return { file, line, state };
  });
  const queue = [...lines];
  const outcomes = [];
  const worker = async () => { for (let next = queue.shift(); next; next = queue.shift()) outcomes.push(await one(next, name)); };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return outcomes.filter(Boolean).length;
}

async function one({ file, line, state }, name) {
  try {
    state.textContent = words.uploading;
    const photo = await open(file);
    const upload = await api.upload(photo.blob, name);
    state.textContent = words.pending;
    const result = await indexed(upload);
    const notes = result.status === "rejected" ? result.reasons : result.warnings;
    state.textContent = [words[result.status], ...(notes ?? [])].join(" · ");
    line.className = result.status;
    return result.status === "indexed";
  } catch (error) {
    state.textContent = error.message;
    line.className = "rejected";
    return false;
  }
}
