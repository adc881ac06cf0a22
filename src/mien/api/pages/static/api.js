// Calls the public REST routes. Every failure is an ApiError whose message is a sentence for the user.

import { device, tab } from "./storage.js";
import { serverSentence, text } from "./strings.js";

const KEY = "mien-api-key"; // of the tab, and of the device for those who want that
const MAX_PAGE = 1000;
const FACES_PAGE = 60; // each of which is shown as a picture
const REQUEST_TIMEOUT_MS = 30_000;
const INDEXING_TIMEOUT_MS = 90_000;
const MAX_RETRIES = 3;

export class ApiError extends Error {
  constructor(message, status, problem = {}) {
    super(message);
    this.status = status; // of HTTP; 0 without a response
    this.problem = problem; // the body, as in RFC 9457
  }

  /** Whether another API key could help. */
  get concernsKey() {
    return this.status === 401 || this.status === 403;
  }
}

/**
 * Tells what the requests learned about the server.
 *
 * Events: "reachability" (detail: boolean), "key-needed" (detail: a sentence that says why) and "key-accepted".
 */
export const connection = new EventTarget();

const emit = (type, detail) => connection.dispatchEvent(new CustomEvent(type, { detail }));

export const apiKey = {
  get: () => tab.get(KEY) ?? device.get(KEY) ?? "",
  isRemembered: () => device.get(KEY) !== null,

  /** Use a key from now on, and after the tab is closed if it is remembered; an ApiError if the server refuses it. */
  async use(value, { remember = false } = {}) {
    tab.set(KEY, value || null);
    device.set(KEY, (remember && value) || null);
    try {
      await request("GET", "users", { query: { limit: 1 } });
    } catch (error) {
      if (error.status !== 403) throw error; // a valid key that may not list people
    }
    emit("key-accepted");
  },
};

export async function request(method, route, { query = {}, body, signal } = {}) {
  const url = new URL(route, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  signal ??= AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const response = await send(url, { method, body, headers: headers(body), signal });
  if (!response.ok) throw await errorFrom(response);
  return response.status === 204 ? null : response.json();
}

function headers(body) {
  const fields = { Accept: "application/json" };
  if (apiKey.get()) fields["X-Api-Key"] = apiKey.get();
  if (typeof body === "string") fields["Content-Type"] = "application/json";
  else if (body instanceof Blob) fields["Content-Type"] = contentType(body);
  return fields;
}

/** What is sent is meant as a photo, whatever type its name suggests, so that the server says which formats it reads. */
const contentType = ({ type }) => (type.startsWith("image/") ? type : "application/octet-stream");

async function send(url, options, retries = MAX_RETRIES) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    emit("reachability", false);
    throw new ApiError(error.name === "TimeoutError" ? text.errors.timeout : text.errors.offline, 0);
  }
  emit("reachability", true);
  if (response.status !== 429 || !retries) return response;
  // A grid of people requests many photos at once; a request that was refused as one too many had no effect.
  await new Promise((done) => setTimeout(done, 1000 + 1000 * Math.random()));
  return send(url, options, retries - 1);
}

async function errorFrom(response) {
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) {
    const message = apiKey.get() ? text.errors.keyRefused : text.errors.keyNeeded;
    emit("key-needed", message);
    return new ApiError(message, 401, problem);
  }
  const code = problem.type?.replace("urn:mien:", "").replaceAll("-", "_");
  const message = serverSentence(code, problem.detail) || problem.title || GATEWAY_MESSAGES[response.status];
  return new ApiError(message || text.errors.server(response.status), response.status, problem);
}

// For a proxy or API Gateway in front of Mien, whose errors have another form.
const GATEWAY_MESSAGES = {
  413: text.errors.tooLarge,
  429: text.errors.busy,
  503: text.errors.busy,
  504: text.errors.timeout,
};

/** An image path has slashes that separate its parts, and any other character inside of them. */
const encodePath = (path) => path.split("/").map(encodeURIComponent).join("/");

export const api = {
  recognize: (blob, { threshold, store, remember, signal } = {}) =>
    request("POST", "recognize", { body: blob, query: { threshold, store, remember }, signal }),
  render: (blob) => requestBlob("POST", "render", blob),
  recognition: (id) => request("GET", `recognitions/${encodeURIComponent(id)}`),
  recognitions: (query) => request("GET", "recognitions", { query }),
  deleteRecognition: (id) => request("DELETE", `recognitions/${encodeURIComponent(id)}`),
  deleteUnnamed: (cursor) => request("DELETE", "recognitions", { query: { unnamed: true, cursor } }),
  upload: (blob, person) => request("POST", "upload", { body: blob, query: person }), // `{ name }` or `{ user_id }`
  uploadStatus: (imagePath) => request("GET", `uploads/${encodePath(imagePath)}`),
  move: (imagePath, person) => request("PATCH", `images/${encodePath(imagePath)}`, { body: JSON.stringify(person) }),
  users: (cursor) => request("GET", "users", { query: { limit: MAX_PAGE, cursor } }),
  user: (userId) => request("GET", `users/${encodeURIComponent(userId)}`),
  rename: (userId, name) => request("PATCH", `users/${encodeURIComponent(userId)}`, { body: JSON.stringify({ name }) }),
  merge: (userId, into) =>
    request("POST", `users/${encodeURIComponent(userId)}/merge`, { body: JSON.stringify({ into }) }),
  unmerge: (userId) => request("POST", `users/${encodeURIComponent(userId)}/unmerge`),
  setConsent: (userId, day) =>
    request("PATCH", `users/${encodeURIComponent(userId)}`, { body: JSON.stringify({ consent_until: day || null }) }),
  forget: (userId) => request("DELETE", `users/${encodeURIComponent(userId)}`),
  face: (faceId) => request("GET", `faces/${encodeURIComponent(faceId)}`),
  deleteFace: (faceId) => request("DELETE", `faces/${encodeURIComponent(faceId)}`),
  reject: (blob, userId) => request("POST", "rejections", { body: blob, query: { user_id: userId } }),
  deleteRejection: (faceId) => request("DELETE", `rejections/${encodeURIComponent(faceId)}`),
  groups: (query) => request("GET", "groups", { query }),
  groupFaces: () => request("POST", "groups"),
  facesOfGroup: (id, cursor) =>
    request("GET", `groups/${encodeURIComponent(id)}/faces`, { query: { limit: FACES_PAGE, cursor } }),
  nameGroup: (id, person) => request("POST", `groups/${encodeURIComponent(id)}/name`, { body: JSON.stringify(person) }),
  unnameGroup: (id) => request("POST", `groups/${encodeURIComponent(id)}/unname`),
  skipGroup: (id, skipped) =>
    request("PATCH", `groups/${encodeURIComponent(id)}`, { body: JSON.stringify({ skipped }) }),
  splitGroup: (id, faceIds) =>
    request("POST", `groups/${encodeURIComponent(id)}/split`, { body: JSON.stringify({ face_ids: faceIds }) }),
  dismissGroup: (id) => request("POST", `groups/${encodeURIComponent(id)}/dismiss`),
  hygiene: () => request("GET", "hygiene"),
  calibration: () => request("GET", "calibration"),
  health: () => request("GET", "health"),
  system: () => request("GET", "system"),
  samples: () => request("GET", "samples"),
  sample: (name) => requestBlob("GET", `samples/${encodeURIComponent(name)}`),
};

async function requestBlob(method, route, body) {
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const response = await send(new URL(route, document.baseURI), { method, body, headers: headers(body), signal });
  if (!response.ok) throw await errorFrom(response);
  if (response.headers.get("Content-Type") !== "application/json") return response.blob();
  // The address of a photo in the bucket. A redirect would be followed with the API key, which is none of the bucket's.
  const photo = await send((await response.json()).url, { signal });
  if (!photo.ok) throw await errorFrom(photo);
  return photo.blob();
}

const SHOWN_BY_BROWSERS = /\.(jpe?g|png|webp|gif|bmp|avif)$/i;

/**
 * Fetch a stored photo as an object URL, because an <img> cannot send the API key. The caller revokes it.
 *
 * The server converts what browsers cannot show.
 */
export async function fetchPhoto(imagePath) {
  const route = `images/${encodePath(imagePath)}${SHOWN_BY_BROWSERS.test(imagePath) ? "" : "?size=2048"}`;
  return URL.createObjectURL(await requestBlob("GET", route));
}

/** Fetch an enrolled face, cut out of its photo, likewise; `size` is in pixels. */
export async function fetchFace(faceId, size) {
  return URL.createObjectURL(await requestBlob("GET", `faces/${encodeURIComponent(faceId)}/image?size=${size}`));
}

/** Poll until an upload is indexed, rejected or failed; after 90 seconds it may still be pending. */
export async function waitUntilIndexed(upload) {
  let current = upload;
  let pause = 250;
  for (let waited = 0; waited < INDEXING_TIMEOUT_MS && current.status === "pending"; waited += pause) {
    pause = Math.min(pause * 1.2, 2000); // other photos may be queued before this one: poll less and less often
    await new Promise((done) => setTimeout(done, pause));
    current = await api.uploadStatus(upload.image_path);
  }
  return current;
}

/** List the sentences of an upload: why the photo was rejected or failed, or what to check about it. */
export const uploadNotes = ({ remarks = [] }) => remarks.map(({ code, message }) => serverSentence(code, message));

/** Iterate over the items of all pages; `list` names the field that holds them. */
export async function* allPages(fetchPage, list) {
  let cursor;
  do {
    const page = await fetchPage(cursor);
    yield* page[list];
    cursor = page.next_cursor;
  } while (cursor);
}
