// Live view: follows faces from frame to frame by overlap, and lets the last frames vote on each name.

const MEMORY = 8; // frames that vote; at ten frames a second, under one second of delay
const FORGET_AFTER_MS = 700;
const SAME_FACE_OVERLAP = 0.25;

export function overlap(a, b) {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / (a.width * a.height + b.width * b.height - both);
}

export class Tracks {
  #tracks = [];
  #next = 1;
  #last = 0;
  #gap = 0;

  update(faces, now) {
    // A slow server answers each second or so: a face is gone when frames lack it, not when frames are rare.
    this.#gap = Math.max(this.#last ? now - this.#last : 0, this.#gap * 0.8);
    this.#last = now;
    const patience = Math.max(FORGET_AFTER_MS, 2.5 * this.#gap);
    this.#tracks = this.#tracks.filter((track) => now - track.seen < patience);
    const free = new Set(this.#tracks);
    for (const face of faces) {
      const track = this.#nearest(free, face.bounding_box) ?? this.#open();
      free.delete(track);
      track.box = face.bounding_box;
      track.seen = now;
      track.votes = [...track.votes, face.status === "matched" ? face.user_id : null].slice(-MEMORY);
      track.similarity = face.similarity;
    }
    return this.#tracks.map((track) => ({ id: track.id, box: track.box, similarity: track.similarity, name: winner(track.votes) }));
  }

  #nearest(free, box) {
    const [best] = [...free].map((track) => [overlap(track.box, box), track]).sort((a, b) => b[0] - a[0]);
    return best && best[0] >= SAME_FACE_OVERLAP ? best[1] : null;
  }

  #open() {
    const track = { id: this.#next++, votes: [], box: null, seen: 0, similarity: null };
    this.#tracks.push(track);
    return track;
  }
}

export function winner(votes) {
  const counts = new Map();
  for (const vote of votes) counts.set(vote, (counts.get(vote) ?? 0) + 1);
  const [name, count] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [null, 0];
  return name !== null && count * 2 > votes.length && count >= Math.min(3, MEMORY) ? name : null;
}
