// Holds what several views share: the chosen threshold, the names of the enrolled people, the kind of recogniser.

import { allPages, api } from "./api.js";

const THRESHOLD = "mien-threshold";

/** The similarity (0 to 100, as a string) that the user chose for a match; undefined for the server's own. */
export const threshold = {
  get: () => localStorage.getItem(THRESHOLD) || undefined,
  set: (similarity) => localStorage.setItem(THRESHOLD, similarity),
};

let names = null;

/** Names of all enrolled people. Fetched once, and again after `forgetNames`. */
export async function knownNames() {
  names ??= fetchNames();
  try {
    return await names;
  } catch (error) {
    forgetNames();
    throw error;
  }
}

/** To be called when people were added, renamed or forgotten. */
export function forgetNames() {
  names = null;
}

async function fetchNames() {
  const all = [];
  for await (const user of allPages(api.users, "users")) all.push(user.user_id);
  return all;
}

/** Whether Mien's engine recognises; Amazon's publishes no error rates and no embeddings, and each call costs money. */
export async function usesOwnEngine() {
  const { points } = await api.calibration().catch(() => ({ points: [] }));
  return points.length > 0;
}
