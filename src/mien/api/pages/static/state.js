// Holds what several views share: the chosen threshold, the enrolled people, the kind of recogniser.

import { allPages, api } from "./api.js";
import { compareNames } from "./format.js";
import { device } from "./storage.js";

const THRESHOLD = "mien-threshold";

/** The similarity (0 to 100, as a string) that the user chose for a match; undefined for the server's own. */
export const threshold = {
  get: () => device.get(THRESHOLD) || undefined,
  set: (similarity) => device.set(THRESHOLD, similarity),
  reset: () => device.set(THRESHOLD, null),
};

/** Whether the server has what not every one has: `docs`, `groups` or `samples`. */
export const offers = (name) => document.querySelector('meta[name="offers"]').content.split(" ").includes(name);

let people = null;

/** All enrolled people by name, with `user_id`, `name`, `best_face` and more. Fetched once, and after `forgetPeople`. */
export async function knownPeople() {
  people ??= fetchPeople();
  try {
    return await people;
  } catch (error) {
    forgetPeople();
    throw error;
  }
}

/** To be called when people were added, renamed, merged or forgotten. */
export function forgetPeople() {
  people = null;
}

async function fetchPeople() {
  const all = [];
  for await (const user of allPages(api.users, "users")) all.push(user);
  return all.sort((a, b) => compareNames(a.name, b.name));
}

/** Whether Mien's engine recognises; Amazon's publishes no error rates and no embeddings, and each call costs money. */
export async function usesOwnEngine() {
  const { points } = await api.calibration().catch(() => ({ points: [] }));
  return points.length > 0;
}
