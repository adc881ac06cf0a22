"""Tell which ids are one person: people can be merged, which makes an id an alias of another person's."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mien.app.ports import Catalog
from mien.domain.records import Person


class Aliases:
    """Follows merges: from an id to its person, and from a person to all of their ids."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def by_id(self, user_ids: Collection[str]) -> dict[str, Person]:
        """Return whom each id leads to, through merges; ids of nobody are left out."""
        found = {person.user_id: person for person in self._catalog.get(Person, list(dict.fromkeys(user_ids)))}
        while missing := {p.merged_into for p in found.values() if p.merged_into} - found.keys():
            targets = self._catalog.get(Person, sorted(missing))
            found |= {person.user_id: person for person in targets}
            if not targets:
                break
        return {user_id: _final(found, user_id) for user_id in user_ids if user_id in found}

    def family(self, user_id: str) -> tuple[str, ...]:
        """Return every id of the person whom an id leads to, theirs first; the id alone when it is nobody's."""
        person = self.by_id([user_id]).get(user_id)
        return (user_id,) if person is None else self.ids_of(person)

    def ids_of(self, person: Person) -> tuple[str, ...]:
        """Return the id of a person and every one that was merged into it."""
        family, merged = [person.user_id], person.merged
        while merged := tuple(dict.fromkeys(each for each in merged if each not in family)):
            family += merged
            merged = tuple(each for person in self._catalog.get(Person, merged) for each in person.merged)
        return tuple(family)

    def with_merged(self, user_id: str) -> tuple[str, ...]:
        """Return an id and every one that was merged into it; the id alone when it is nobody's."""
        stored = self._catalog.get(Person, [user_id])
        return self.ids_of(stored[0]) if stored else (user_id,)

    def with_merged_each(self, user_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the same as `with_merged` for several ids; only people with whom others were merged take a query."""
        stored = {person.user_id: person for person in self._catalog.get(Person, list(dict.fromkeys(user_ids)))}
        return {each: self.ids_of(stored[each]) if each in stored else (each,) for each in user_ids}

    def roots(self, people: Collection[Person]) -> dict[str, str]:
        """Return by each id of the people whose it is, reading the merged ones of all of them at once."""
        roots = {person.user_id: person.user_id for person in people}
        merged = {alias: person.user_id for person in people for alias in person.merged}
        while merged := {alias: root for alias, root in merged.items() if alias not in roots}:
            roots |= merged
            stored = self._catalog.get(Person, list(merged))
            merged = {alias: roots[person.user_id] for person in stored for alias in person.merged}
        return roots


def _final(found: Mapping[str, Person], user_id: str) -> Person:
    person = found[user_id]
    for _ in found:  # and no longer, should two merges at once have made a circle
        person = found.get(person.merged_into or "", person)
    return person
