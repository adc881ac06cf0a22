// Compares names: without regard to case they are one name; without accents they are worth a question.

/** A name as it is compared: composed, without case, with single spaces. */
export const sameKey = (name) => name.normalize("NFKC").toLowerCase().replace(/\s+/g, " ").trim();

/** A name without accents, too: what people type who look for "Zoë". */
export const searchKey = (name) => sameKey(name.normalize("NFD").replace(/\p{M}/gu, ""));

/** Find the person of a name; "tom" is Tom. */
export const personCalled = (people, name) => people.find((person) => sameKey(person.name) === sameKey(name));

/** Find people whose name has a text anywhere, those first whose name begins with it. */
export function peopleLike(people, text, most = Infinity) {
  const wanted = searchKey(text);
  const found = people.map((person) => [searchKey(person.name).indexOf(wanted), person]);
  const fitting = found.filter(([position]) => position >= 0);
  return fitting
    .sort(([a], [b]) => Number(a > 0) - Number(b > 0))
    .slice(0, most)
    .map(([, person]) => person);
}

/** Order faces as one reads them, left to right; equal numbers stand for the same face in list and picture. */
export const leftToRight = (faces) =>
  [...faces].sort((a, b) => middle(a) - middle(b) || a.bounding_box.top - b.bounding_box.top);

const middle = ({ bounding_box: box }) => box.left + box.width / 2;
