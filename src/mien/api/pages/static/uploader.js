// Uploads photos of one person, with a line for each file that shows its progress and, if it is rejected, the reason.

import { api, uploadNotes, waitUntilIndexed } from "./api.js";
import { h, personLink } from "./dom.js";
import { retryButton } from "./feedback.js";
import { readPhoto } from "./photo.js";
import { text } from "./strings.js";
import { taskQueue } from "./task-queue.js";

const MAX_UPLOADS = 3; // at the same time
const t = text.people.uploadStatus;

/**
 * Upload files as photos of a person, who is given as `{ name }` or `{ user_id }`.
 *
 * Lines are added to `list`. `onRetried` is called when a photo that failed at first is indexed after all. Returns how
 * many photos were indexed.
 */
export async function uploadPhotos(files, person, list, onRetried) {
  const enqueue = taskQueue(MAX_UPLOADS);
  const outcomes = files.map((file) => {
    const status = h("span", {}, t.pending);
    const line = h("li", {}, h("span", { dir: "auto" }, file.name), status);
    list.append(line);
    const entry = { file, person, line, status, onRetried };
    return enqueue(() => uploadOne(entry));
  });
  return (await Promise.all(outcomes)).filter((indexed) => indexed).length;
}

async function uploadOne(entry) {
  const { line, status } = entry;
  try {
    const upload = await sendPhoto(entry);
    status.replaceChildren(describeUpload(upload), ...(await linkToLookalike(upload)));
    line.className = upload.status;
    return upload.status === "indexed";
  } catch (error) {
    const retry = async () => {
      if (await uploadOne(entry)) entry.onRetried();
    };
    status.replaceChildren(error.message, " ", retryButton(error, retry, "link"));
    line.className = "rejected";
    return false;
  }
}

async function sendPhoto({ file, person, line, status }) {
  line.className = "";
  status.textContent = t.uploading;
  const photo = await readPhoto(file);
  URL.revokeObjectURL(photo.url);
  const upload = await api.upload(photo.blob, person);
  status.textContent = t.pending;
  const result = await waitUntilIndexed(upload);
  if (result.status === "failed") throw new Error(describeUpload(result));
  return result;
}

/** Say whom the photo looks like when the face is enrolled under another name. */
async function linkToLookalike({ remarks = [] }) {
  const remark = remarks.find(({ code, face_id: id }) => code === "looks_like_another" && id);
  const face = remark && (await api.face(remark.face_id).catch(() => null)); // forgotten since, or not with this key
  return face?.user_id ? [" → ", h("a", { href: personLink(face.user_id), dir: "auto" }, face.name)] : [];
}

/** Word the result of an upload: its status, then the reasons for a rejection or the warnings about the photo. */
export const describeUpload = (upload) => [t[upload.status], ...uploadNotes(upload)].join(" · ");
