"""What has to be true of photos and people after everything that was done: the model that the test of lives keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mien.domain.object_keys import claim_key, user_id_of


@dataclass
class Model:
    """Photos by path, and who is who.

    Attributes:
        files: The bytes of each photo in the bucket.
        owners: The id that each photo belongs to; None for nobody.
        names: The names of those who have another one than their id.
        merged: The id into which each alias was merged.
        consents: Days until the end of each consent.
        answers: The ids that each stored recognition names.
        rejected: The person of each rejected face.
        labels: Every id and name under which somebody was stored, by id.
        erased: The ids and names of those who were forgotten.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    owners: dict[str, str | None] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    consents: dict[str, int] = field(default_factory=dict)
    answers: dict[str, frozenset[str]] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    def name(self, user_id: str) -> str:
        return self.names.get(user_id, user_id)

    def root(self, user_id: str) -> str:
        while user_id in self.merged:
            user_id = self.merged[user_id]
        return user_id

    def with_merged(self, user_id: str) -> set[str]:
        """An id and those merged into it."""
        found = {user_id}
        while more := {alias for alias, into in self.merged.items() if into in found} - found:
            found |= more
        return found

    def known(self) -> set[str]:
        """Everybody who has a photo, and whom their ids lead to."""
        found = {owner for owner in self.owners.values() if owner is not None}
        while more := {self.merged[user_id] for user_id in found if user_id in self.merged} - found:
            found |= more
        return found

    def enrolled(self) -> set[str]:
        return {self.root(owner) for owner in self.owners.values() if owner is not None}

    def holder(self, text: str, among: Iterable[str]) -> str | None:
        """Who of some people has an id or a name that looks like the text."""
        key = claim_key(text)
        return next((u for u in sorted(among) if key in {claim_key(u), claim_key(self.name(u))}), None)

    def owner_by_folder(self, path: str, known: Iterable[str]) -> str | None:
        folder = user_id_of(path)
        return folder if folder is None or folder in known else self.holder(folder, known) or folder

    def store(self, path: str, body: bytes, owner: str | None) -> None:
        self.files[path] = body
        self.owners[path] = owner
        if owner is not None:
            self._label(owner, owner, self.name(owner), user_id_of(path) or owner)

    def rename(self, user_id: str, name: str) -> None:
        self.names[user_id] = name
        self._label(user_id, user_id, name)

    def remove(self, paths: Iterable[str]) -> None:
        for path in list(paths):
            del self.files[path], self.owners[path]

    def erase(self, user_ids: set[str]) -> None:
        """Everything of these ids, and every answer that names one of them."""
        self.remove([path for path, owner in self.owners.items() if owner in user_ids])
        self.answers = {i: named for i, named in self.answers.items() if not named & user_ids}
        self.rejected = {i: user_id for i, user_id in self.rejected.items() if user_id not in user_ids}
        for user_id in user_ids:
            self.erased |= self.labels.pop(user_id, {user_id})
        self._drop(user_ids)

    def forget_vanished(self, known: set[str]) -> None:
        """People go with their last photo."""
        self._drop((self.names.keys() | self.merged.keys() | set(self.merged.values()) | self.consents.keys()) - known)
        self.rejected = {i: user_id for i, user_id in self.rejected.items() if user_id in known}

    def in_use(self) -> set[str]:
        """Ids, names and folders that somebody has now."""
        folders = {user_id_of(path) or "" for path in self.files}
        return self.known() | {self.name(user_id) for user_id in self.known()} | folders

    def _label(self, user_id: str, *labels: str) -> None:
        self.labels.setdefault(user_id, set()).update(labels)
        self.erased -= set(labels)

    def _drop(self, user_ids: set[str]) -> None:
        for user_id in user_ids:
            self.names.pop(user_id, None)
            self.consents.pop(user_id, None)
        self.merged = {a: into for a, into in self.merged.items() if a not in user_ids and into not in user_ids}
