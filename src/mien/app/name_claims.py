"""Reserve ids and names, so that no other person's id or name looks the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from mien.app.ports import Catalog
from mien.domain import object_keys
from mien.domain.errors import UserExists
from mien.domain.records import NameClaim, Person

ANNOUNCED = timedelta(hours=1)
"""How long a person without a photo keeps their name: longer than a signed form is valid."""

_LOOKALIKE = (
    "Another person's id or name looks the same: it differs only in case, in Unicode form or in characters that do "
    "not show. Write it as it is enrolled, or choose another."
)
_TAKEN = "Another person has this name already. Use their id, merge the two, or choose another name."
_IS_AN_ID = "Another person has this as their id. Use the id, or choose another name."


class NameClaims:
    """Finds who has an id or a name, and frees those of people who never came."""

    def __init__(
        self,
        catalog: Catalog,
        now: Callable[[], datetime],
        is_without_photos: Callable[[str], bool],
        remove: Callable[[str], bool],
    ) -> None:
        """Compose it; `remove` removes the record of a person, with their claims."""
        self._catalog, self._now = catalog, now
        self._is_without_photos, self._remove = is_without_photos, remove

    def holder(self, text: str) -> Person | None:
        """Return who has an id or a name that looks like the text."""
        stored = self._catalog.get(NameClaim, [object_keys.claim_key(text)])
        return self._claimant(stored[0]) if stored else None

    def holder_or_free(self, text: str) -> Person | None:
        """Return who has an id or a name that looks like the text; when nobody has, free it for somebody new."""
        for claim in self._catalog.get(NameClaim, [object_keys.claim_key(text)]):
            if holder := self._claimant(claim):
                return holder
            self._free(claim)
        return None

    def refuse_taken(self, text: str, by_other_than: str) -> None:
        """Raise UserExists for a text that looks like the id or name of another person than the one of an id."""
        holder = self.holder_or_free(text)
        if holder is not None and holder.user_id != by_other_than:
            raise clash(text, holder)

    def reserved(self, people: Sequence[Person]) -> list[NameClaim]:
        """Return the claims that are stored for people: of two look-alikes from before claims, one has the claim."""
        user_ids = {person.user_id for person in people}
        keys = dict.fromkeys(claim.key for person in people for claim in claims(person))
        return [claim for claim in self._catalog.get(NameClaim, list(keys)) if claim.user_id in user_ids]

    def _claimant(self, claim: NameClaim) -> Person | None:
        """Return who has the id or name that is claimed; None for a claim without effect."""
        for person in self._catalog.get(Person, [claim.user_id]):
            if claim.key in {each.key for each in claims(person)} and not self._never_came(person):
                return person
        return None

    def _free(self, claim: NameClaim) -> None:
        """Remove a claim without effect, unless another has taken its place meanwhile, or its person has changed."""
        people = self._catalog.get(Person, [claim.user_id])
        if any(map(self._never_came, people)):
            self._remove(claim.user_id)
        else:
            self._catalog.put(*people, gone=[claim], unchanged=[claim, *people])

    def _never_came(self, person: Person) -> bool:
        """Whether the form that a person was announced with has expired without a photo."""
        is_old = person.pending and self._now() - person.timestamp > ANNOUNCED
        return is_old and not person.merged and self._is_without_photos(person.user_id)


def claims(person: Person) -> list[NameClaim]:
    """Return what reserves a person's id and name."""
    keys = dict.fromkeys((object_keys.claim_key(person.user_id), object_keys.claim_key(person.name)))
    return [NameClaim(key, person.user_id, person.timestamp) for key in keys]


def clash(text: str, holder: Person) -> UserExists:
    """Return the error for an id or a name that looks like another person's, the holder's."""
    return UserExists(_TAKEN if text == holder.name else _IS_AN_ID if text == holder.user_id else _LOOKALIKE)
