"""Put the present ids and names of people into what is answered: it was stored under ids that may be aliases by now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from mien.app.aliases import Aliases
from mien.app.ports import Catalog
from mien.domain.records import Candidate, FaceRecord, Person, Recognition, RecognizedFace, Upload
from mien.domain.results import FaceSummary, Probe

V = TypeVar("V", Candidate, RecognizedFace, FaceRecord, Upload)


class PresentNames:
    """Names people in faces, uploads and recognitions."""

    def __init__(self, aliases: Aliases, catalog: Catalog) -> None:
        self._aliases, self._catalog = aliases, catalog

    def named(self, values: Sequence[V]) -> list[V]:
        """Put the present id and name of each value's person into it, all of them read at once."""
        people = self._aliases.by_id([value.user_id for value in values if value.user_id is not None])
        return [_named(value, people) for value in values]

    def face_summaries(self, people: Collection[Person]) -> dict[str, FaceSummary]:
        """Return how many faces each person has under all of their ids, and the newest, by the person's id."""
        roots = self._aliases.roots(people)
        by_id, found = {person.user_id: person for person in people}, dict[str, FaceSummary]()
        for user_id, summary in self._catalog.summarize_faces(list(roots)).items():
            root = roots[user_id]
            newest = replace(summary.newest, user_id=root, name=by_id[root].name)
            if before := found.get(root):
                newest = max(before.newest, newest, key=lambda face: (face.timestamp, face.face_id))
            found[root] = FaceSummary(summary.count + (before.count if before else 0), newest)
        return found

    def recognitions(
        self, recognitions: Sequence[Recognition], people: Mapping[str, Person] | None = None
    ) -> list[Recognition]:
        """Put present ids, names and likelihoods into recognitions; `people` are those of `by_id`, if known already."""
        if people is None:
            people = self._aliases.by_id(sorted({user_id for each in recognitions for user_id in each.user_ids}))
        return [
            replace(
                each,
                faces=tuple(
                    replace(_named_face(face, people), likelihood=each.likelihood(face)) for face in each.faces
                ),
            )
            for each in recognitions
        ]


def canonical(records: Iterable[FaceRecord], people: Mapping[str, Person]) -> dict[str, FaceRecord]:
    """Return records by face id, each with the id that its person has after merges."""
    with_present_ids = {}
    for record in records:
        person = people.get(record.user_id or "")
        is_alias = person is not None and person.user_id != record.user_id
        with_present_ids[record.face_id] = replace(record, user_id=person.user_id) if person and is_alias else record
    return with_present_ids


def user_ids(probes: Sequence[Probe], records: Mapping[str, FaceRecord]) -> list[str]:
    """List the ids of everybody whom the hits are about."""
    of_faces = [record.user_id for record in records.values() if record.user_id is not None]
    return list(dict.fromkeys(of_faces + [hit.user_id for probe in probes for hit in probe.user_hits]))


def with_present_ids(probes: Sequence[Probe], people: Mapping[str, Person]) -> list[Probe]:
    """Return the probes with user hits of the people whom the ids lead to after merges."""
    if all(person.user_id == user_id for user_id, person in people.items()):
        return list(probes)
    return [
        replace(
            probe,
            user_hits=tuple(
                replace(hit, user_id=people[hit.user_id].user_id if hit.user_id in people else hit.user_id)
                for hit in probe.user_hits
            ),
        )
        for probe in probes
    ]


def _named(value: V, people: Mapping[str, Person]) -> V:
    if value.user_id is None:
        return value
    person = people.get(value.user_id)
    if person is None:
        return replace(value, name=value.user_id)
    return replace(value, user_id=person.user_id, name=person.name)


def _named_face(face: RecognizedFace, people: Mapping[str, Person]) -> RecognizedFace:
    candidates: dict[tuple[str | None, int], Candidate] = {}
    for number, candidate in enumerate(face.candidates):
        named = _named(candidate, people)
        candidates.setdefault((named.user_id, 0 if named.user_id is not None else number), named)
    return replace(_named(face, people), candidates=tuple(candidates.values()))
