// Places the labels of faces inside the photo, over no other label and, where possible, over no face.

const GAP = 4; // pixels
const MAX_RINGS = 4;
const LABEL_COST = 100; // of a covered pixel, beside the distance times the height
const FACE_COST = 10;
const OWN_FACE_COST = 3;

/**
 * Place a label for each face, in pixels; those of the smallest faces first, each where it costs least.
 *
 * `faces` are `{ left, top, width, height }`, `sizes` of labels and photo `{ width, height }`. Returns `{ left, top }`
 * for each face.
 */
export function placeLabels(faces, sizes, photo) {
  const placed = [];
  const order = faces.map((_, i) => i).sort((a, b) => area(faces[a]) - area(faces[b]));
  for (const i of order) {
    const cost = (label) => {
      let total = distance(label, faces[i]) * label.height;
      for (const other of placed) if (other) total += LABEL_COST * shared(label, other);
      for (const [j, face] of faces.entries()) total += (i === j ? OWN_FACE_COST : FACE_COST) * shared(label, face);
      return total;
    };
    const rated = positions(faces[i], sizes[i], photo).map((label) => [cost(label), label]);
    placed[i] = rated.reduce((best, next) => (next[0] < best[0] ? next : best))[1];
  }
  return placed;
}

/** List places below and above a face, ring by ring, and last inside it; of equal costs the first one wins. */
function positions(face, size, photo) {
  const found = [];
  const add = (left, top) => found.push(moveInside({ left, top, ...size }, photo));
  const columns = [face.left + (face.width - size.width) / 2, face.left, face.left + face.width - size.width];
  for (let ring = 0; ring < MAX_RINGS; ring += 1) {
    const away = GAP + ring * (size.height + GAP);
    for (const left of columns) {
      add(left, face.top + face.height + away);
      add(left, face.top - away - size.height);
    }
  }
  add(columns[0], face.top + face.height - size.height - GAP);
  return found;
}

const clamp = (value, most) => Math.max(0, Math.min(value, most));

const moveInside = (label, photo) => ({
  ...label,
  left: clamp(label.left, photo.width - label.width),
  top: clamp(label.top, photo.height - label.height),
});

const area = ({ width, height }) => width * height;

function shared(a, b) {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  return Math.max(width, 0) * Math.max(height, 0);
}

function distance(a, b) {
  const across = Math.max(a.left - b.left - b.width, b.left - a.left - a.width, 0);
  const down = Math.max(a.top - b.top - b.height, b.top - a.top - a.height, 0);
  return across + down;
}
