// Holds what several views share: the chosen threshold, the enrolled people, the kind of recogniser.

import { allPages, api } from "./api.js";

const THRESHOLD = "mien-threshold";

/** The similarity (0 to 100, as a string) that the user chose for a match; undefined for the server's own. */
export const threshold = {
  get: () => localStorage.getItem(THRESHOLD) || undefined,
  set: (similarity) => localStorage.setItem(THRESHOLD, similarity),
};

let people = null;

/** All enrolled people, with `user_id` and `name`. Fetched once, and again after `forgetPeople`. */
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
  return all;
}

/** Whether Mien's engine recognises; Amazon's publishes no error rates and no embeddings, and each call costs money. */
export async function usesOwnEngine() {
  const { points } = await api.calibration().catch(() => ({ points: [] }));
  return points.length > 0;
}
