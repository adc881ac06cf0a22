"""Manage people: their ids and names, and merging two ids that are one person.

A person's name stands in their Person record only; a NameClaim for the id and one for the name reserve both against
look-alikes. Renaming is one write of record and claim, and moves no photo.

Merging is one write, too: it makes an id an alias of another person and moves nothing. Photos, faces and stored
recognitions keep the id that they were made with, the recognizer keeps both users, and every answer names the person
whom the id leads to. So nothing has to be repaired after a crash, undoing gives each id back exactly what it had, and
forgetting the person erases what was enrolled under either id. Photos that are uploaded after the merge belong to the
person, also when they are uploaded for the alias.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from mien.app.aliases import Aliases
from mien.app.name_claims import NameClaims, claims, clash
from mien.app.ports import Bucket, Catalog
from mien.app.present_names import PresentNames
from mien.domain import object_keys
from mien.domain.errors import InvalidInput, Overloaded, UserNotFound
from mien.domain.records import Person, Record, Upload

ATTEMPTS = 5
MAX_STALE_ENTRIES = 10

_CHANGING = "Others are changing this person at the same time; try again."


class PeopleService:
    """Finds, names and merges people. Ids and names have to be valid already."""

    def __init__(self, bucket: Bucket, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._bucket, self._catalog, self._now = bucket, catalog, now
        self.aliases = Aliases(catalog)
        self.present_names = PresentNames(self.aliases, catalog)
        self._claims = NameClaims(catalog, now, self.is_without_photos, self.remove)

    # Finding

    def get(self, user_id: str) -> Person:
        """Return the person of an id, or the one whom it was merged into. Raises UserNotFound."""
        person = self.aliases.by_id([user_id]).get(user_id)
        if person is None or person.pending:
            raise UserNotFound("Nobody is enrolled under this user id.")
        return person

    def find(self, text: str) -> Person:
        """Return the person of an id or, failing that, of exactly this name. Raises UserNotFound."""
        if person := self.aliases.by_id([text]).get(text):
            return person
        holder = self._claims.holder(text)
        person = self.aliases.by_id([holder.user_id]).get(holder.user_id) if holder and holder.name == text else None
        if person is None:
            raise UserNotFound("Nobody is enrolled under this id or name.")
        return person

    def ids_of(self, text: str) -> tuple[str, ...]:
        """Return every id that a text may stand for: itself, and all ids of the person of that id or exact name."""
        with suppress(UserNotFound):
            return tuple(dict.fromkeys((text, *self.aliases.ids_of(self.find(text)))))
        return (text,)

    def possible_ids(self, user_id: str | None, name: str | None) -> tuple[str, ...]:
        """Return every id of the person whom `admit` would choose, if there is one."""
        if user_id is not None:
            return tuple(dict.fromkeys((user_id, *self.aliases.family(user_id))))
        holder = self._claims.holder(name) if name is not None else None
        return () if holder is None else self.aliases.family(holder.user_id)

    def owner(self, path: str) -> str | None:
        """Return the id that the photo of a path belongs to; None for nobody.

        That is the id that the folder is named after or, failing that, the person whose name it is. A folder of
        neither is the id of a new person. Raises InvalidInput, and UserExists when the folder looks like another
        person's id or name.
        """
        user_id = object_keys.user_id_of(path)
        if user_id is None or self._catalog.get(Person, [user_id]):
            return user_id
        holder = self._claims.holder(user_id)
        if holder is None or holder.user_id == user_id:  # who may have come a moment ago
            return user_id
        if holder.name == user_id:
            return holder.user_id
        raise clash(user_id, holder)

    def admit(self, user_id: str | None, name: str | None) -> str | None:
        """Return the id under which a photo is to be stored; None for nobody.

        Args:
            user_id: The id that the client gives. A new person gets it, and an alias leads to its person.
            name: Without an id, the person of this name, who gets an id where there is none yet. With an id, the name
                of a new person, or of one who has no name of their own.

        Raises UserExists when another person's id or name looks the same.
        """
        if user_id is None and name is None:
            return None
        for _ in range(ATTEMPTS):
            person = self._known(user_id, name)
            if person is None:
                person = Person(user_id or object_keys.new_user_id(), name or user_id or "", self._now(), pending=True)
                if not self._catalog.put(person, fresh=claims(person)):
                    continue
            elif user_id and name and name != person.name and (person.pending or person.name == person.user_id):
                self.rename(person.user_id, name)
            if admitted := self.aliases.by_id([person.user_id]).get(person.user_id):
                return admitted.user_id
        raise Overloaded(_CHANGING)

    def holder_of(self, text: str) -> str:
        """Return the id of the person whose id or name looks like the text. Raises UserNotFound."""
        holder = self._claims.holder(text)
        if holder is None:
            raise UserNotFound("Nobody is enrolled under this name.")
        return holder.user_id

    # Changing

    def register(self, user_id: str, timestamp: datetime) -> None:
        """Make a person of whom a face is enrolled now known to `get` and to listings, and whom the id leads to."""
        known: set[str] = set()
        above: str | None = user_id
        while above is not None and above not in known:
            known.add(above)
            above = self._register(above, timestamp).merged_into

    def _register(self, user_id: str, timestamp: datetime) -> Person:
        for _ in range(ATTEMPTS):
            stored = self._catalog.get(Person, [user_id])
            if stored and not stored[0].pending:
                return stored[0]
            if stored:
                person = replace(stored[0], pending=False, timestamp=timestamp)
                is_stored = self._catalog.put(person, unchanged=stored)
            else:
                person = Person(user_id, user_id, timestamp)
                # Of two look-alikes from before claims, only one has them.
                is_stored = self._catalog.put(fresh=[person, *claims(person)]) or self._catalog.put(fresh=[person])
            if is_stored:
                return person
        raise Overloaded(_CHANGING)

    def rename(self, user_id: str, name: str) -> Person:
        """Give a person another name, in one write. Raises UserNotFound and UserExists."""
        for _ in range(ATTEMPTS):
            person = self.aliases.by_id([user_id]).get(user_id)
            if person is None:
                raise UserNotFound("Nobody is enrolled under this user id.")
            if name == person.name:
                return person
            self._claims.refuse_taken(name, person.user_id)
            renamed = replace(person, name=name)
            held, wanted = ({claim.key for claim in claims(each)} for each in (person, renamed))
            fresh = [claim for claim in claims(renamed) if claim.key not in held]
            gone = [claim for claim in self._claims.reserved([person]) if claim.key not in wanted]
            if self._catalog.put(renamed, fresh=fresh, gone=gone, unchanged=[person]):
                return renamed
        raise Overloaded(_CHANGING)

    def merge(self, user_id: str, into: str) -> Person:
        """Make an id an alias of another person, in one write; return that person.

        Raises UserNotFound, and InvalidInput when the id is an alias already or both are the same person.
        """
        for _ in range(ATTEMPTS):
            source = self._own(user_id)
            if source.merged_into:
                raise InvalidInput("This person is merged with another already; undo that first.")
            target = self.aliases.by_id([into]).get(into)
            if target is None:
                raise UserNotFound("Nobody is enrolled under the user id to merge into.")
            if target.user_id == source.user_id:
                raise InvalidInput("A person cannot be merged with themselves.")
            both = replace(target, merged=(*target.merged, user_id), pending=target.pending and source.pending)
            alias = replace(source, merged_into=target.user_id)
            if self._catalog.put(both, alias, unchanged=[target, source]):
                return both
        raise Overloaded(_CHANGING)

    def unmerge(self, user_id: str, remove_belongings: Callable[[str], None]) -> Person:
        """Undo a merge, in one write; return the person who is one of their own again.

        The person whom the id led to goes with it when they have no photo of their own; before that,
        `remove_belongings` is called with their id. Raises UserNotFound, and InvalidInput when the id is no alias.
        """
        for _ in range(ATTEMPTS):
            source = self._own(user_id)
            if source.merged_into is None:
                raise InvalidInput("This person is not merged with another.")
            vanishing = self.vanishing(source.merged_into, apart_from=self.aliases.with_merged(user_id))
            for each in vanishing:
                remove_belongings(each)
            separate = replace(source, merged_into=None)
            if vanishing and self.remove(*vanishing):
                return separate
            targets = self._catalog.get(Person, [source.merged_into])
            if self._catalog.put(separate, *_without_alias(targets, source), unchanged=[source, *targets]):
                return separate
        raise Overloaded(_CHANGING)

    def remove(self, *user_ids: str) -> bool:
        """Remove people's records, with what reserves their ids and names, in one write; tell whether there were any.

        Others who were merged with them are not any more.
        """
        for _ in range(ATTEMPTS):
            people = self._catalog.get(Person, user_ids)
            if not people:
                return False
            above = {person.merged_into for person in people if person.merged_into} - set(user_ids)
            below = {each for person in people for each in person.merged} - set(user_ids)
            roots, aliases = (self._catalog.get(Person, sorted(ids)) for ids in (above, below))
            others = [replace(r, merged=tuple(each for each in r.merged if each not in user_ids)) for r in roots]
            others += [replace(alias, merged_into=None) for alias in aliases]
            gone: list[Record] = [*people, *self._claims.reserved(people)]
            if self._catalog.put(*others, gone=gone, unchanged=[*gone, *roots, *aliases]):
                return True
        raise Overloaded(_CHANGING)

    def begin_anew(self, user_id: str, before: datetime, timestamp: datetime) -> None:
        """Put a new person, without name and aliases, in the place of one from before a moment."""
        if any(person.timestamp <= before for person in self._catalog.get(Person, [user_id])):
            self.remove(user_id)
        self.register(user_id, timestamp)

    def vanishing(self, user_id: str, but: str | None = None, apart_from: Collection[str] = ()) -> tuple[str, ...]:
        """Return the ids of people who go because no photo of theirs is left.

        That is the id with those merged into it and, if those have no photo either, whom it leads to; nobody while
        one of them has photos.

        Args:
            user_id: The id whose last photo went.
            but: A photo that does not count.
            apart_from: Ids that do not count.
        """
        gone: tuple[str, ...] = ()
        above: str | None = user_id
        while above is not None:
            family = tuple(each for each in self.aliases.with_merged(above) if each not in apart_from)
            if not all(self.is_without_photos(each, but) for each in family):
                break
            gone = family
            above = next((person.merged_into for person in self._catalog.get(Person, [above])), None)
        return gone

    def is_without_photos(self, user_id: str, but: str | None = None) -> bool:
        """Tell whether no photo of an id is left, but for one, neither in its folder nor in one with their name."""
        in_folder = self._bucket.keys(object_keys.folder(user_id))
        if any(key != but for key in in_folder):
            return False
        uploads = self._catalog.find(Upload, user_id=user_id, limit=MAX_STALE_ENTRIES).items
        return all(upload.image_path == but for upload in uploads)

    # Helpers

    def _own(self, user_id: str) -> Person:
        stored = self._catalog.get(Person, [user_id])
        if not stored:
            raise UserNotFound("Nobody is enrolled under this user id.")
        return stored[0]

    def _known(self, user_id: str | None, name: str | None) -> Person | None:
        if user_id is not None:
            if stored := self._catalog.get(Person, [user_id]):
                return stored[0]
            for text in filter(None, (user_id, name)):
                self._claims.refuse_taken(text, user_id)  # who may have come a moment ago
            return None
        holder = self._claims.holder_or_free(name or "")
        if holder is None or holder.name == name:
            return holder
        raise clash(name or "", holder)


def _without_alias(targets: Iterable[Person], source: Person) -> list[Person]:
    return [replace(t, merged=tuple(each for each in t.merged if each != source.user_id)) for t in targets]
