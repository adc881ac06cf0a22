"""Expiry in a data folder: by the server's worker, beside an unmounted disk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from mien.app.app import FaceApp
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from mien.domain.records import Consent, Erasure, FaceRecord, Recognition, Upload
from tests.support.fake_engine import FakeFaceEngine
from tests.support.process import wait_for

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
POLICY = Policy(result_days=1, visitor_days=1)

Portraits = dict[str, list[bytes]]


def fill(backend: EmbeddedBackend, portraits: Portraits) -> None:
    """A person to keep; and visitors, answers and two people whose time is over."""
    past = FaceApp(backend.bucket, backend.recognizer, backend.catalog, now=lambda: LONG_AGO)
    past.enroll(portraits["Venus"][0], "Venus")
    for name in ("Robert", "Salma"):
        for photo in portraits[name][:2]:
            past.enroll(photo, name)
        backend.catalog.put(Consent.until(name, LONG_AGO.date()))
    for photo in portraits["Sheryl"]:
        past.index_upload(past.upload(photo).image_path)
        past.recognize(photo)


def check_that_all_is_over(backend: EmbeddedBackend) -> None:
    assert [person.user_id for person in backend.app.people().items] == ["Venus"]
    (kept,) = backend.catalog.find(Upload).items
    assert list(backend.bucket.keys("uploaded/")) == [kept.image_path]
    assert [face.face_id for face in backend.catalog.find(FaceRecord).items] == list(kept.face_ids)
    for kind in (Recognition, Consent, Erasure):
        assert backend.catalog.find(kind).items == ()  # type: ignore[type-var]
    for name in ("Robert", "Salma"):
        assert backend.app.verify_erased(name) == ()


def test_the_worker_removes_what_is_over_at_its_start(
    tmp_path: Path, engine: FakeFaceEngine, portraits: Portraits
) -> None:
    backend = EmbeddedBackend(tmp_path / "data", "people", POLICY, lambda: engine)
    with backend.app:
        fill(backend, portraits)
        worker = backend.worker(threads=1)
        worker.start()
        try:
            wait_for(lambda: not backend.catalog.find(Consent).items)
            wait_for(lambda: not backend.catalog.find(Erasure).items)
        finally:
            worker.stop()
        check_that_all_is_over(backend)


def test_a_disk_that_is_not_mounted_keeps_what_is_over_until_it_is(
    tmp_path: Path, engine: FakeFaceEngine, portraits: Portraits
) -> None:
    bucket = tmp_path / "data" / "bucket"
    backend = EmbeddedBackend(tmp_path / "data", "people", POLICY, lambda: engine)
    with backend.app:
        fill(backend, portraits)
        bucket.rename(tmp_path / "elsewhere")
        (bucket / "uploaded").mkdir(parents=True)
        expiry = backend.app.expire()
        assert (expiry.photos, expiry.receipts) == (0, ())
        assert expiry.failed == len(portraits["Sheryl"]) + 2
        assert len(backend.catalog.find(Upload).items) == 5 + len(portraits["Sheryl"])
        (bucket / "uploaded").rmdir()
        bucket.rmdir()
        (tmp_path / "elsewhere").rename(bucket)
        backend.app.expire()
        backend.app.resume_erasures()
        check_that_all_is_over(backend)


def test_a_folder_from_before_takes_consents(start: Callable[[], EmbeddedBackend], portraits: Portraits) -> None:
    backend = start()
    with backend.database.write() as transaction:
        transaction.execute("DROP TABLE Consents")
    opened = start()
    opened.app.enroll(portraits["Robert"][0], "Robert")
    opened.app.set_consent("Robert", date(2099, 1, 1))
    assert start().app.consents(["Robert"]) == {"Robert": date(2099, 1, 1)}
