// Says in a few words who is in photos.

import { faceLabel } from "./face-overlay.js";
import { text } from "./strings.js";

// Characters that would turn the direction of the names and words that follow.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

/** Name everybody in a photo: each person once, then how many faces are unknown. */
export function summarizeFaces(faces) {
  const known = faces.filter((face) => face.status !== "unknown").map(nameWithDoubt);
  const unknown = faces.length - known.length;
  const parts = [...new Set(known), ...(unknown ? [text.unknownFaces(unknown)] : [])];
  return parts.join(", ") || text.noFace;
}

/** A name that another person may have, too, asks to be checked. */
function nameWithDoubt(face) {
  const name = faceLabel(face).replace(TURNING, "");
  return face.likelihood === "likely" ? `${name} (${text.likelihood.likely})` : name;
}

/** Count photos, people and unknown faces of several answers. */
export function summarizePhotos(answers) {
  const faces = answers.flat();
  const people = new Set(faces.filter((face) => face.status === "matched").map((face) => face.user_id));
  const unknown = faces.filter((face) => face.status === "unknown").length;
  const parts = [text.photos(answers.length), text.peopleCount(people.size)];
  return [...parts, ...(unknown ? [text.unknownFaces(unknown)] : [])].join(" · ");
}
