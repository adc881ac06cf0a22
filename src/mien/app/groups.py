"""Find people whom nobody has named: remember strangers' faces, group them, and act on a group.

A remembered face is a photo of nobody: a portrait that was cut out of the photo, which itself is not kept. So all that
holds for such photos holds for groups: they expire, they can be deleted one by one, and a reconciliation repairs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from mien.app.group_naming import GroupNaming
from mien.app.group_ports import Grouping
from mien.app.grouping import Grouper, halves
from mien.app.indexing import IndexingService
from mien.app.portraits import PortraitKeeper
from mien.app.recognition import RecognitionService
from mien.domain.errors import GroupNotFound, ImageError, InvalidInput
from mien.domain.faces import Page, iterate_pages
from mien.domain.groups import DismissedFace, FaceGroup, Group, GroupCount, Naming, new_group_id
from mien.domain.records import FaceRecord, Recognition, RecognitionStatus, RecognizedFace, Upload
from mien.domain.results import Portrait

SHOWN_FACES = 6
PAGE = 1000
STORED_TOGETHER = 16
"""Photos whose portraits are flushed to the disk together."""


class GroupService:
    """Remembers, lists, names, divides, merges and erases groups."""

    def __init__(
        self,
        grouping: Grouping,
        indexing: IndexingService,
        recognition: RecognitionService,
        now: Callable[[], datetime],
        *,
        admit: Callable[[str | None, str | None], str | None],
        enroll: Callable[[bytes, str | None], Upload],
        remove_copies: Callable[[], None] = lambda: None,
    ) -> None:
        """Compose the service.

        Args:
            grouping: The ports.
            indexing, recognition: The flows of photos and of recognitions.
            now: Returns the time, aware and in UTC.
            admit: Returns the id of the person of an id or a name, who may be new.
            enroll: Stores and indexes a photo for a person or, for None, for nobody.
            remove_copies: Deletes copies of the data that the stores do not know, such as from before an upgrade.
        """
        self._recognizer, self._catalog = grouping.recognizer, grouping.catalog
        self._indexing, self._recognition, self._now = indexing, recognition, now
        self._admit, self._remove_copies = admit, remove_copies
        self._grouper = Grouper(grouping.recognizer, grouping.catalog, now)
        self._portraits = PortraitKeeper(grouping, self._grouper, indexing, now, self.add)
        self._naming = GroupNaming(grouping, self._grouper, indexing, now, enroll)

    # Finding

    def remember(self, image: bytes, threshold: str | float | None = None, *, store: bool = False) -> Recognition:
        """Recognise the faces of a photo, and keep the unknown ones, each in its group.

        The photo is not kept, and the recognition only if asked to `store` it; of an unknown face that is clear
        enough, a portrait is. Showing the same photo again changes nothing. Returns the recognition, whose unknown
        faces have a `group_id`.
        """
        recognize, cut = self._recognition.recognize_portraits, self._recognizer.portraits
        return next(self._remember([recognize(image, cut, threshold, store=store)]))

    def remember_many(self, images: Iterable[bytes]) -> Iterator[Recognition | ImageError]:
        """Do the same for many photos, on all cores, and yield the outcome of each, in order.

        The recognitions are not stored. Some photos are stored together, so what was yielded is stored, and a call
        that is cut off has stored a few photos more at most.
        """
        outcomes = self._recognition.recognize_portraits_many(images, self._recognizer.portraits_many)
        while batch := list(islice(outcomes, STORED_TOGETHER)):
            remembered = self._remember([each for each in batch if not isinstance(each, ImageError)])
            yield from [each if isinstance(each, ImageError) else next(remembered) for each in batch]

    def add(self, face_ids: Sequence[str]) -> None:
        """Group enrolled faces of nobody, but for those that look like a person who is enrolled."""
        for face_id in face_ids:
            while (face := self._ungrouped(face_id)) and not self._is_known(face):
                if self._grouper.join(face):
                    break

    def add_all(self) -> int:
        """Group all faces of nobody that have no group yet, and return how many those were."""
        pages = iterate_pages(lambda token: self._catalog.ungrouped(PAGE, token))
        faces = [face.face_id for face in pages]
        self.add(faces)
        return len(self._catalog.groups_of(faces))

    def list(
        self, min_faces: int = 1, *, skipped: bool = False, limit: int = 100, token: str | None = None
    ) -> Page[Group]:
        """List the groups of at least so many faces, the largest first; skipped ones only if asked for."""
        page = self._catalog.list_groups(min_faces, skipped=skipped, limit=limit, token=token)
        return Page(tuple(self._described(page.items)), page.next_token)

    def get(self, group_id: str) -> Group:
        """Return a group. Raises GroupNotFound."""
        return next(self._described([self._count(group_id)]))

    def counts(self, group_ids: Sequence[str]) -> dict[str, GroupCount]:
        """Return how many faces groups have, and since when, by group id."""
        return self._catalog.count_groups(group_ids)

    def faces(self, group_id: str, *, limit: int = 100, token: str | None = None) -> Page[FaceRecord]:
        """List the faces of a group, the most certain first. Raises GroupNotFound."""
        self._count(group_id)
        return self._catalog.list_faces_of_group(group_id, limit, token)

    # Deciding

    def name(self, group_id: str, user_id: str | None = None, name: str | None = None) -> Naming:
        """Enrol all faces of a group for a person, who is named as for `FaceApp.upload`.

        Raises GroupNotFound, GroupNamed when somebody else is giving the group another name at the same time, and
        InvalidInput when none of the faces is clear enough.
        """
        if user_id is None and name is None:
            raise InvalidInput("Say who it is, by user id or by name.")
        self._count(group_id)
        return self._naming.give(group_id, self._admit(user_id, name) or "")

    def undo_name(self, group_id: str) -> Group:
        """Take a name back: the faces that the group gave to the person are nobody's again.

        Raises GroupNotFound when no face with a person comes from the group.
        """
        self._naming.take_back(group_id)
        return self.get(group_id)

    def skip(self, group_id: str, *, skipped: bool = True) -> Group:
        """Leave a group out of listings from now on, or list it again. Raises GroupNotFound."""
        self._count(group_id)
        with self._grouper.lock:
            self._catalog.put(replace(self._grouper.decisions(group_id), skipped=skipped))
        return self.get(group_id)

    def split(self, group_id: str, face_ids: Sequence[str] = ()) -> tuple[Group, Group]:
        """Divide a group of two people, and keep the halves apart. Raises GroupNotFound.

        Args:
            group_id: The group.
            face_ids: The faces of the second person; when empty, Mien divides by likeness.

        Returns both. Raises InvalidInput for faces of other groups, and when nothing would be left of one.
        """
        with self._grouper.lock:
            new = FaceGroup(new_group_id(), self._now())
            while not self._divide(group_id, face_ids, new):  # a face was removed meanwhile
                pass
        return self.get(group_id), self.get(new.group_id)

    def merge(self, group_id: str, into: str) -> Group:
        """Merge a group into another, because both show one person. Raises GroupNotFound, and InvalidInput for one."""
        if group_id == into:
            raise InvalidInput("A group cannot be merged into itself.")
        self._count(group_id)
        self._count(into)
        with self._grouper.lock:
            target = self._grouper.decisions(into)
            self._catalog.put(replace(target, apart=tuple(each for each in target.apart if each != group_id)))
            self._grouper.merge(group_id, into)
        return self.get(into)

    def dismiss(self, group_id: str) -> GroupCount:
        """Remove a group of what is no face, and remember that, so that it is not found again. Returns the count of
        its faces. Raises GroupNotFound."""
        self._count(group_id)
        now = self._now()
        for face in self._catalog.faces_of_group(group_id):
            upload_id = face.image_path.rpartition("/")[2].partition(".")[0]
            self._catalog.put(DismissedFace(upload_id, now))
        return self.erase(group_id)

    def erase(self, group_id: str) -> GroupCount:
        """Erase the faces of a group: embeddings, records and portraits. Returns what it had. Raises GroupNotFound."""
        count = self._count(group_id)
        for face in self._catalog.faces_of_group(group_id):
            self._indexing.remove_face(face)
        self._catalog.delete(FaceGroup, [group_id])
        self._remove_copies()
        return count

    def prune(self) -> None:
        """Remove what was decided about groups that have no face any more."""
        self._catalog.delete(FaceGroup, self._catalog.empty_groups())

    def _remember(self, read: Sequence[tuple[Recognition, Sequence[Portrait]]]) -> Iterator[Recognition]:
        """Keep the unknown faces of some photos."""
        strangers = [
            portrait
            for recognition, portraits in read
            for face, portrait in zip(recognition.faces, portraits, strict=True)
            if _is_kept(face, portrait)
        ]
        groups = iter(self._portraits.keep(strangers))
        for recognition, portraits in read:
            faces = (
                replace(face, group_id=next(groups)) if _is_kept(face, portrait) else face
                for face, portrait in zip(recognition.faces, portraits, strict=True)
            )
            yield replace(recognition, faces=tuple(faces))

    def _divide(self, group_id: str, face_ids: Sequence[str], new: FaceGroup) -> bool:
        """Give the second person's faces to a new group; False when one of them was changed or removed meanwhile."""
        self._count(group_id)
        faces = {face.face_id: face for face in self._catalog.faces_of_group(group_id)}
        if len(faces) < 2:
            raise InvalidInput("The group has a single face.")
        second = set(face_ids) or halves(list(faces), self._similarities)
        if not second < faces.keys():
            raise InvalidInput("Name some of the group's faces, but not all.")
        former = self._grouper.decisions(group_id)
        divided = [faces[face_id] for face_id in sorted(second)]
        moved = (replace(face, group_id=new.group_id) for face in divided)
        both = (
            replace(new, apart=(group_id, *former.apart)),
            replace(former, apart=(*former.apart, new.group_id)),
        )
        return self._catalog.put(*moved, *both, unchanged=divided)

    def _ungrouped(self, face_id: str) -> FaceRecord | None:
        """Return a face of nobody that has no group yet."""
        faces = self._catalog.get(FaceRecord, [face_id])
        return next((face for face in faces if face.user_id is None and face.group_id is None), None)

    def _is_known(self, face: FaceRecord) -> bool:
        threshold = self._recognition.threshold(None).similarity
        hits = [hit.face_id for hit in self._recognizer.similar(face.face_id, threshold)]
        return any(each.user_id is not None and not each.negative for each in self._catalog.get(FaceRecord, hits))

    def _count(self, group_id: str) -> GroupCount:
        try:
            return self._catalog.count_groups([group_id])[group_id]
        except KeyError:
            raise GroupNotFound("There is no group of this id, or its faces have a name by now.") from None

    def _described(self, counts: Sequence[GroupCount]) -> Iterator[Group]:
        groups = {group.group_id: group for group in self._catalog.get(FaceGroup, [each.group_id for each in counts])}
        for count in counts:
            group = groups.get(count.group_id)
            best = self._catalog.faces_of_group(count.group_id, limit=SHOWN_FACES)
            yield Group(
                count.group_id,
                count.faces,
                count.first_seen,
                count.last_seen,
                bool(group and group.skipped),
                tuple(best),
                group.user_id if group else None,
            )

    def _similarities(self, face_id: str) -> dict[str, float]:
        return {hit.face_id: hit.similarity for hit in self._recognizer.similar(face_id, 0.0)}


def _is_kept(face: RecognizedFace, portrait: Portrait) -> bool:
    return face.status is RecognitionStatus.UNKNOWN and portrait.is_clear
