"""Give the faces of a group to a person, and take them back.

The group's portraits move to the person photo by photo, as `FaceApp.move` does; cut off in between, the same call goes
on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from mien.app.group_ports import Grouping
from mien.app.grouping import Grouper
from mien.app.indexing import IndexingService
from mien.domain.errors import GroupNamed, GroupNotFound, ImageNotFound, InvalidInput
from mien.domain.groups import FaceGroup, Naming
from mien.domain.records import FaceRecord, Upload, UploadStatus


class GroupNaming:
    """Moves faces between groups and people."""

    def __init__(
        self,
        ports: Grouping,
        grouper: Grouper,
        indexing: IndexingService,
        now: Callable[[], datetime],
        enroll: Callable[[bytes, str | None], Upload],
    ) -> None:
        """Compose it; `enroll` stores and indexes a photo for a person or, for None, for nobody."""
        self._bucket, self._recognizer, self._catalog = ports.bucket, ports.recognizer, ports.catalog
        self._grouper, self._indexing, self._now, self._enroll = grouper, indexing, now, enroll

    def give(self, group_id: str, user_id: str) -> Naming:
        """Enrol all faces of a group for a person.

        Raises GroupNamed when somebody else is giving the group another name at the same time, and InvalidInput when
        none of the faces is clear enough.
        """
        self._claim(group_id, user_id)
        moved = [self._give(face, group_id, user_id) for face in self._catalog.faces_of_group(group_id)]
        if not any(moved):
            self._unclaim(group_id)
            raise InvalidInput("None of the faces is clear enough to be enrolled.")
        return Naming(group_id, user_id, sum(moved), len(moved) - sum(moved))

    def take_back(self, group_id: str) -> None:
        """Make the faces that a group gave to a person nobody's again. Raises GroupNotFound when there is none."""
        faces = self._catalog.faces_of_group(group_id, named=True)
        if not faces:
            raise GroupNotFound("There is no group of this id that has a name.")
        for face in faces:
            self._take_back(face, group_id)
        self._unclaim(group_id)

    def _claim(self, group_id: str, user_id: str) -> None:
        """Write down whose group it is before any face is moved, unless somebody else has written another name."""
        group = next(iter(self._catalog.get(FaceGroup, [group_id])), None)
        if group is None:
            claimed = FaceGroup(group_id, self._now(), user_id)
            is_first = self._catalog.put(fresh=[claimed])
        else:
            is_free = group.user_id in {None, user_id}
            is_first = is_free and self._catalog.put(replace(group, user_id=user_id), unchanged=[group])
        if not is_first:
            raise GroupNamed("Somebody else has just named this group. Look at it again.")

    def _unclaim(self, group_id: str) -> None:
        self._catalog.put(replace(self._grouper.decisions(group_id), user_id=None))

    def _give(self, face: FaceRecord, group_id: str, user_id: str) -> bool:
        """Enrol a group's face for a person and take it from nobody; False when it is not clear enough, and stays."""
        try:
            upload = self._enroll(self._portrait(face), user_id)
        except ImageNotFound:  # deleted meanwhile
            return False
        if upload.status is not UploadStatus.INDEXED:
            self._indexing.remove_photo(upload.image_path)
            return False
        for enrolled in upload.face_ids:
            self._grouper.move(enrolled, group_id)
        self._indexing.remove_face(face)
        return True

    def _take_back(self, face: FaceRecord, group_id: str) -> None:
        with suppress(ImageNotFound):
            upload = self._enroll(self._bucket.get(face.image_path).body, None)
            found = self._catalog.get(FaceRecord, upload.face_ids)
            own = max(found, key=lambda each: each.box.overlap(face.box), default=face)
            for each in found:  # a photo of nobody has all its faces enrolled, also whoever stands beside the person
                if each.face_id != own.face_id:
                    self._indexing.remove_face(each)
            self._grouper.move(own.face_id, group_id)
            self._indexing.remove_face(face)

    def _portrait(self, face: FaceRecord) -> bytes:
        """The face alone: its photo when that shows nobody else, or what is cut out of it."""
        photo = self._bucket.get(face.image_path).body
        uploads = self._catalog.get(Upload, [face.image_path])
        if len(uploads[0].face_ids if uploads else ()) == 1:
            return photo
        cut = self._recognizer.portraits(photo, 100.0, 1)
        if not cut:
            raise ImageNotFound("The photo does not show the face any more.")
        return max(cut, key=lambda each: each.probe.face.box.overlap(face.box)).image
