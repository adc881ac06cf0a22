// What several views share: the chosen threshold, the names that are known, and who recognises.

import { api, pages } from "./api.js";

const THRESHOLD = "mien-threshold";

export const threshold = {
  get: () => localStorage.getItem(THRESHOLD) ?? "",
  set: (value) => (value ? localStorage.setItem(THRESHOLD, value) : localStorage.removeItem(THRESHOLD)),
  query: () => threshold.get() || undefined,
};

let names = null;

export async function knownNames() {
  names ??= (async () => {
    const all = [];
    for await (const user of pages(api.users, "users")) all.push(user.user_id);
    return all;
  })().catch((error) => { names = null; throw error; });
  return names;
}
knownNames.changed = () => { names = null; };

// Amazon's recogniser tells no error rates and shows no embeddings, and each call of it costs money.
export async function ownRecogniser() {
  const { points } = await api.calibration().catch(() => ({ points: [] }));
  return points.length > 0;
}
