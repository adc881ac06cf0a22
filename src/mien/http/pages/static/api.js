// The public REST routes, as functions. Every failure is an ApiError with a sentence for a person.

import { text } from "./strings.js";

const KEY = "mien-api-key"; // sessionStorage: a key must not outlive the tab
const TIMEOUT_MS = 30_000;
const PATIENCE_MS = 90_000;

export class ApiError extends Error {
  constructor(message, status, problem = {}) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
  async try(value) {
    key.set(value);
    await call("GET", "users", { query: { limit: 1 } }).catch((error) => { if (error.status !== 403) throw error; });
    document.dispatchEvent(new CustomEvent("key-accepted"));
  },
};

export const online = new EventTarget();

export async function call(method, route, { query = {}, body, signal } = {}) {
  const url = new URL(route, document.baseURI);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") url.searchParams.set(name, value);
  const answer = await send(url, { method, body, headers: headers(body), signal: signal ?? AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw await failure(answer);
}

function headers(body) {
  const all = { Accept: "application/json" };
  if (key.get()) all["X-Api-Key"] = key.get();
  if (typeof body === "string") all["Content-Type"] = "application/json";
  else if (body instanceof Blob) all["Content-Type"] = body.type || "application/octet-stream";
  return all;
}

async function send(url, options, patience = 3) {
  try {
    const answer = await fetch(url, options);
    online.dispatchEvent(new CustomEvent("state", { detail: true }));
    if (answer.status !== 429 || !patience) return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    online.dispatchEvent(new CustomEvent("state", { detail: false }));
    throw new ApiError(error.name === "TimeoutError" ? text.errors.timeout : text.errors.offline, 0);
  }
  // A grid of people asks for many photos at once; what was one too many had no effect and may come again.
  await new Promise((done) => setTimeout(done, 1000 + 1000 * Math.random()));
  return send(url, options, patience - 1);
}

async function failure(answer) {
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    const sentence = key.get() ? text.errors.keyWrong : text.errors.keyNeeded;
    document.dispatchEvent(new CustomEvent("key-needed", { detail: sentence }));
    return new ApiError(sentence, 401, problem);
  }
  const sentence = problem.detail || problem.title || gateway[answer.status] || text.errors.server(answer.status);
  return new ApiError(sentence, answer.status, problem);
}

// What stands before Mien (a proxy, API Gateway) refuses in words of its own.
const gateway = { 413: text.errors.tooLarge, 429: text.errors.tooMany, 503: text.errors.tooMany, 504: text.errors.timeout };

const part = (value) => value.split("/").map(encodeURIComponent).join("/");

export const api = {
  recognize: (blob, { threshold, store, signal } = {}) => call("POST", "recognize", { body: blob, query: { threshold, store }, signal }),
  upload: (blob, userId) => call("POST", "upload", { body: blob, query: { user_id: userId } }),
  uploadState: (path) => call("GET", `uploads/${part(path)}`),
  users: (cursor) => call("GET", "users", { query: { cursor } }),
  user: (id) => call("GET", `users/${encodeURIComponent(id)}`),
  forget: (id) => call("DELETE", `users/${encodeURIComponent(id)}`),
  reject: (blob, userId) => call("POST", "rejections", { body: blob, query: { user_id: userId } }),
  unreject: (faceId) => call("DELETE", `rejections/${encodeURIComponent(faceId)}`),
  hygiene: () => call("GET", "hygiene"),
  move: (path, to) => call("PATCH", `images/${part(path)}`, { body: JSON.stringify({ user_id: to }) }),
  calibration: () => call("GET", "calibration"),
  deleteFace: (id) => call("DELETE", `faces/${encodeURIComponent(id)}`),
  recognitions: (query) => call("GET", "recognitions", { query }),
  health: () => call("GET", "health"),
};

export async function image(path, signal) {
  // Through fetch and a blob, because an <img> cannot send the key.
  const answer = await send(new URL(`images/${part(path)}`, document.baseURI), { headers: headers(), signal });
  if (!answer.ok) throw await failure(answer);
  return URL.createObjectURL(await answer.blob());
}

export async function indexed(upload) {
  let state = upload;
  for (let pause = 250, waited = 0; waited < PATIENCE_MS && state.status === "pending"; waited += pause) {
    pause = Math.min(pause * 1.2, 2000); // a queue may hold the photo back: ask less and less often
    await new Promise((done) => setTimeout(done, pause));
    state = await api.uploadState(upload.image_path);
  }
  return state;
}

export async function* pages(fetchPage, list) {
  let cursor;
  do {
    const page = await fetchPage(cursor);
    yield* page[list];
    cursor = page.next_cursor;
  } while (cursor);
}
