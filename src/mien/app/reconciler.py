"""Find and repair inconsistencies: what a crash left between two stores, and what lost events did not announce.

Photos are the source of truth and never touched; faces, metadata and statuses follow them. Others may use the same
collection, so only faces with this installation's mark, or with metadata, are its own; all others are foreign and
counted only.

A run counts everything first, and then repairs it in a second pass; it does not begin that when there is suspiciously
much to remove, as when a table was restored empty, unless it is forced. It reads page by page, and what it keeps in
memory is a page, the candidates of a step, and eight bytes for each photo. Cut off by the time that it has, it
returns where the next run goes on.
"""

from __future__ import annotations

import hashlib
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from mien.app.name_claims import claims
from mien.app.photo_faces import PhotoFaces
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.app.reconciliation import PHASES, Counts, Phase, Reconciliation
from mien.domain import object_keys
from mien.domain.errors import InvalidInput, MienError
from mien.domain.records import FaceRecord, NameClaim, Person, Upload, UploadStatus

GRACE_SECONDS = 5.0
PAGE = 1000
RECORDS_PAGE = 400  # of keys of 1 KB each, DynamoDB returns up to 1 MB at once
FACE_PAGES = 50  # together wait for the metadata of their faces
PARTITIONS = 256


class Reconciler:
    """Finds and repairs the inconsistencies of one installation."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        index: Callable[[str], object],
        remove: Callable[[str], object],
        grace: float,
        photos_after: Callable[[str], Iterator[str]] | None = None,
        *,
        retry_failed: bool = True,
        is_erased: Callable[[str], bool] = lambda _: False,
        finish_overdue: bool = False,
    ) -> None:
        """Work on the three ports.

        Args:
            bucket: The photos.
            recognizer: The faces.
            catalog: The metadata.
            index: Indexes the photo of a path, now or later.
            remove: Removes what is left of the photo of a path, now or later, if the photo does not exist then.
            grace: Seconds between finding a candidate for removal and looking at it again, so that a photo that is
                being indexed at that moment is not taken for one that a crash left.
            photos_after: Lists the photos whose keys come after one, where the bucket's listing has an order; without
                it, a run that was cut off among the photos begins there anew.
            retry_failed: Whether to index photos again that could not be indexed, after all attempts.
            is_erased: Tells whether a person was forgotten.
            finish_overdue: Whether to do, even if nothing is repaired, what was promised long ago: to remove the faces
                of people who were forgotten, to let uploads of nobody expire that an earlier version stored, and to
                correct the numbers of people's faces.
        """
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._index, self._remove, self._grace = index, remove, grace
        self._faces = PhotoFaces(bucket, recognizer, catalog)
        self._photos: PathSet | None = None
        self._listing: Iterator[str] | None = None
        self._photos_after, self._retry_failed = photos_after, retry_failed
        self._is_erased, self._finish_overdue = is_erased, finish_overdue

    def run(
        self,
        *,
        repair: bool,
        force: bool = False,
        progress: Reconciliation | None = None,
        is_out_of_time: Callable[[], bool] = lambda: False,
    ) -> Reconciliation:
        """Count all inconsistencies and, if wanted, repair them.

        Args:
            repair: Whether to repair what was counted; without it nothing is changed but what is overdue.
            force: Repair also when there is suspiciously much to remove.
            progress: What the run before returned, to go on there; None begins.
            is_out_of_time: Tells, after each step of some seconds, whether to end.

        Returns the progress, which is done unless the time was out.
        """
        progress = self._pass(progress or Reconciliation(), is_out_of_time)
        if not progress.is_done or progress.is_repairing or not repair:
            return progress
        if progress.found.is_suspicious and not force:
            return replace(progress, is_stopped=True)
        retried = progress.found.photos_failed if self._retry_failed else 0
        if not progress.found.needs_repair and not retried:
            return progress
        return self._pass(replace(progress, is_repairing=True, phase=0, token=None), is_out_of_time)

    def _pass(self, progress: Reconciliation, is_out_of_time: Callable[[], bool]) -> Reconciliation:
        # The second pass counts, too, but into counts that nobody sees: those of the first were reported.
        counts = Counts() if progress.is_repairing else progress.found
        steps = {
            Phase.FACES: self._look_at_faces,
            Phase.RECORDS: self._look_at_records,
            Phase.UPLOADS: self._look_at_uploads,
            Phase.PHOTOS: self._look_at_photos,
            Phase.PEOPLE: self._look_at_people,
        }
        while not progress.is_done:
            token = steps[PHASES[progress.phase]](progress.token, counts, progress.is_repairing)
            progress = replace(progress, phase=progress.phase + (token is None), token=token)
            if is_out_of_time():  # asked last, so that every run gets on
                break
        return progress

    def _look_at_faces(self, token: str | None, counts: Counts, is_repairing: bool) -> str | None:
        candidates: dict[str, str | None] = {}
        for _ in range(FACE_PAGES):
            page = self._recognizer.list_faces(token)
            known = self._recorded([face.face_id for face in page.items])
            strangers = [face for face in page.items if face.face_id not in known]
            marked = {face.face_id: face.user_id for face in strangers if face.is_marked}
            counts.faces += len(known) + len(marked)
            counts.foreign_faces += len(strangers) - len(marked)
            candidates |= marked
            token = page.next_token
            if token is None:
                break
        if candidates:
            time.sleep(self._grace)
            without_record = candidates.keys() - self._recorded(list(candidates))
            user_ids = {user_id for face_id in without_record if (user_id := candidates[face_id]) is not None}
            erased = {user_id for user_id in user_ids if self._is_erased(user_id)}
            overdue = {face_id for face_id in without_record if candidates[face_id] in erased}
            counts.faces_of_erased += len(overdue)
            counts.faces_without_metadata += len(without_record - overdue)
            if is_repairing or self._finish_overdue:
                self._recognizer.delete(sorted(without_record if is_repairing else overdue))
        return token

    def _look_at_records(self, token: str | None, counts: Counts, is_repairing: bool) -> str | None:
        page = self._catalog.find(FaceRecord, limit=RECORDS_PAGE, token=token)
        existing = self._recognizer.existing([record.face_id for record in page.items])
        without_face = [record for record in page.items if record.face_id not in existing]
        counts.metadata_without_face += len(without_face)
        of_photos = [record for record in page.items if not record.negative]  # a rejected face has no photo
        unlisted = self._unlisted(of_photos)
        if unlisted:
            time.sleep(self._grace)
            unlisted = self._unlisted(self._catalog.get(FaceRecord, [record.face_id for record in unlisted]))
        counts.faces_without_photo += len(unlisted)
        # Of a photo that has a state, the next phase takes care.
        gone = self._gone(record.image_path for record in of_photos)
        gone -= {upload.image_path for upload in self._catalog.get(Upload, sorted(gone))}
        counts.photos_gone += len(gone)
        if is_repairing:
            self._catalog.delete(FaceRecord, [record.face_id for record in without_face])
            self._do(self._index, {record.image_path for record in without_face if not record.negative})
            self._do(self._release, {record.image_path for record in unlisted})
            self._do(self._remove, gone)
        return page.next_token

    def _look_at_uploads(self, token: str | None, counts: Counts, is_repairing: bool) -> str | None:
        page = self._catalog.find(Upload, limit=RECORDS_PAGE, token=token)
        visitors = [upload.image_path for upload in page.items if upload.user_id is None]
        counts.uploads_unlisted += self._catalog.list_uploads_of_nobody(visitors, write=self._finish_overdue)
        gone = self._gone(upload.image_path for upload in page.items)
        counts.photos_gone += len(gone)
        if is_repairing:
            self._do(self._remove, gone)
        return page.next_token

    def _look_at_photos(self, token: str | None, counts: Counts, is_repairing: bool) -> str | None:
        if token is not None and self._listing is None and self._photos_after:
            self._listing = self._photos_after(token)
        elif token is None or self._listing is None:
            self._listing = self._bucket.keys(object_keys.UPLOADED)
        keys = list(islice(self._listing, PAGE))
        photos = [key for key in keys if _is_photo(key)]
        known = self._catalog.get(Upload, photos)
        failed = {upload.image_path for upload in known if upload.status is UploadStatus.FAILED}
        uploads = [upload for upload in known if upload.status.final]
        face_ids = {face_id for upload in uploads for face_id in upload.face_ids}
        missing = face_ids - self._recorded(sorted(face_ids))
        complete = {upload.image_path for upload in uploads if not missing.intersection(upload.face_ids)}
        unfinished = set(photos) - complete - failed
        counts.photos_without_state += len(unfinished)
        counts.photos_failed += len(failed)
        if is_repairing:
            self._do(self._index, unfinished | failed if self._retry_failed else unfinished)
        return keys[-1] if keys else None

    def _look_at_people(self, token: str | None, counts: Counts, is_repairing: bool) -> str | None:
        page = self._catalog.find(Person, limit=RECORDS_PAGE, token=token)
        wanted = {claim.key: claim for person in page.items for claim in claims(person)}
        stored = {claim.key for claim in self._catalog.get(NameClaim, list(wanted))}
        missing = [claim for key, claim in wanted.items() if key not in stored]
        counts.people_without_claim += len({claim.user_id for claim in missing})
        if is_repairing:
            for claim in missing:
                self._catalog.put(fresh=[claim])  # not in place of one that somebody got meanwhile
        self._recount([person.user_id for person in page.items], counts)
        return page.next_token

    def _recount(self, user_ids: Sequence[str], counts: Counts) -> None:
        miscounted = self._catalog.recount_faces(user_ids, write=False)
        if miscounted:
            time.sleep(self._grace)
            miscounted = self._catalog.recount_faces(miscounted, write=self._finish_overdue)
        counts.people_miscounted += len(miscounted)

    def _gone(self, paths: Iterable[str]) -> set[str]:
        """Return the paths of photos that do not exist."""
        if self._photos is None:
            self._photos = PathSet(self._bucket.keys(object_keys.UPLOADED))
        return {path for path in set(paths) if path not in self._photos and not self._may_exist(path)}

    def _may_exist(self, path: str) -> bool:
        """Look once more: a photo may be younger than the listing, or lie in a folder that cannot be read."""
        with suppress(MienError):
            return self._faces.exists(path)
        return True

    def _unlisted(self, records: Sequence[FaceRecord]) -> list[FaceRecord]:
        """The records of faces that their photo, which is indexed, does not show."""
        uploads = {
            upload.image_path: upload
            for upload in self._catalog.get(Upload, sorted({record.image_path for record in records}))
            if upload.status is UploadStatus.INDEXED
        }
        return [
            record
            for record in records
            if record.image_path in uploads and record.face_id not in uploads[record.image_path].face_ids
        ]

    def _release(self, path: str) -> None:
        shown = {face_id for upload in self._catalog.get(Upload, [path]) for face_id in upload.face_ids}
        self._do(self._index, self._faces.release(path, shown))

    def _do(self, work: Callable[[str], object], paths: Iterable[str]) -> None:
        for path in sorted(paths):
            with suppress(MienError):  # the next run finds the photo again
                work(path)

    def _recorded(self, face_ids: Sequence[str]) -> set[str]:
        return {record.face_id for record in self._catalog.get(FaceRecord, face_ids)}


class PathSet:
    """A set of paths in eight bytes each. Once in many billions, a path that is not in it is taken for one that is."""

    def __init__(self, paths: Iterable[str]) -> None:
        partitions = [array("Q") for _ in range(PARTITIONS)]
        for path in paths:
            digest = _hash(path)
            partitions[digest % PARTITIONS].append(digest)
        # Sorting all at once takes much memory.
        self._partitions = [array("Q", sorted(partition)) for partition in partitions]

    def __contains__(self, path: str) -> bool:
        digest = _hash(path)
        partition = self._partitions[digest % PARTITIONS]
        place = bisect_left(partition, digest)
        return place < len(partition) and partition[place] == digest


def _hash(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest())


def _is_photo(key: str) -> bool:
    """Whether an object's key is one that a photo can have: folders' place holders, for instance, have others."""
    try:
        object_keys.user_id_of(key)
    except InvalidInput:
        return False
    return True
