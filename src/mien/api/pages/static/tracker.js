// Follows faces from frame to frame in the live view, and lets the latest frames vote on each name.

const VOTING_FRAMES = 8; // at ten frames a second, less than one second of delay
const MIN_VOTES = 3;
const MIN_PATIENCE_MS = 700;
const MIN_OVERLAP = 0.25;

/** Compute the intersection over union of two boxes, 0 to 1. */
export function intersectionOverUnion(a, b) {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  const intersection = width * height;
  return intersection / (a.width * a.height + b.width * b.height - intersection);
}

/** Find the name in more than half of the votes, and in at least three of them; null if there is none. */
export function majorityName(votes) {
  const counts = new Map();
  for (const vote of votes) counts.set(vote, (counts.get(vote) ?? 0) + 1);
  for (const [name, count] of counts) {
    if (name !== null && count * 2 > votes.length && count >= MIN_VOTES) return name;
  }
  return null;
}

export class FaceTracker {
  #tracks = [];
  #nextId = 1;
  #lastUpdate = 0;
  #frameGap = 0;

  /**
   * Match the faces of a frame to those of the frames before.
   *
   * `now` is in milliseconds. Returns a track for each face that is in the picture: `{ id, box, name }`, where `name`
   * is null until the frames agree on one.
   */
  update(faces, now) {
    this.#dropLost(now);
    const unmatched = new Set(this.#tracks);
    for (const face of faces) {
      const track = nearestTrack(unmatched, face.bounding_box) ?? this.#addTrack();
      unmatched.delete(track);
      track.box = face.bounding_box;
      track.lastSeen = now;
      track.votes = [...track.votes, face.status === "matched" ? face.name : null].slice(-VOTING_FRAMES);
    }
    return this.#tracks.map(({ id, box, votes }) => ({ id, box, name: majorityName(votes) }));
  }

  #dropLost(now) {
    // A slow server answers once a second or so: a face is lost when frames lack it, not when frames are rare.
    this.#frameGap = Math.max(this.#lastUpdate ? now - this.#lastUpdate : 0, this.#frameGap * 0.8);
    this.#lastUpdate = now;
    const patience = Math.max(MIN_PATIENCE_MS, 2.5 * this.#frameGap);
    this.#tracks = this.#tracks.filter((track) => now - track.lastSeen < patience);
  }

  #addTrack() {
    const track = { id: this.#nextId++, votes: [], box: null, lastSeen: 0 };
    this.#tracks.push(track);
    return track;
  }
}

function nearestTrack(tracks, box) {
  let nearest = null;
  let largest = 0;
  for (const track of tracks) {
    const overlap = intersectionOverUnion(track.box, box);
    if (overlap < MIN_OVERLAP || overlap <= largest) continue;
    nearest = track;
    largest = overlap;
  }
  return nearest;
}
