"""Measure a look for inconsistencies, and their repair, in a large collection: processor time and peak memory.

    python -m benchmarks.repair FOLDER --faces 1000000

FOLDER becomes a data folder with so many faces, each with its photo's state and metadata; the rows are written into
the database without an engine, and a later run uses them again. Files are not written: the bucket lists the photos as
if they were there, but for seven, which the repair finds and whose faces it removes.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mien.backends import serialization
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.faces import Box
from mien.domain.object_keys import installation_mark
from mien.domain.policy import Policy
from mien.domain.records import FaceRecord, Upload, UploadStatus
from mien.engine import FaceEngine

COLLECTION = "people"
PEOPLE = 20_000
CHUNK = 20_000
MISSING = 7
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--faces", type=int, default=1_000_000)
    given = options.parse_args()
    backend = EmbeddedBackend(given.folder, COLLECTION, Policy(), FaceEngine)
    with backend.app as app:
        if not backend.app_gallery().collections.describe(COLLECTION).face_count:
            fill(backend, given.faces)
        list_as_if_there(backend, given.faces)
        answer = {"faces": given.faces, "megabytes_before": peak_megabytes()}
        for name, repair in (("report", False), ("repair", True)):
            wall, processor = time.perf_counter(), time.process_time()
            found = app.reconcile(repair=repair, grace=0).found
            answer |= {
                f"{name}_seconds": round(time.perf_counter() - wall, 1),
                f"{name}_processor_seconds": round(time.process_time() - processor, 1),
                f"{name}_megabytes": peak_megabytes(),
                f"{name}_photos_gone": found.photos_gone,
            }
    print(json.dumps(answer, indent=2))


def path_of(number: int) -> str:
    return f"uploaded/p{number % PEOPLE}/{number:032x}.jpg"


def list_as_if_there(backend: EmbeddedBackend, count: int) -> None:
    """Let the bucket list a photo for each face, but for a few."""
    missing = {path_of(number) for number in range(0, count, count // MISSING + 1)}

    def keys(prefix: str) -> Iterator[str]:
        if prefix == "uploaded/":
            return (path for number in range(count) if (path := path_of(number)) not in missing)
        is_there = prefix not in missing
        return iter([prefix] if is_there else [])

    backend.bucket.keys = keys  # type: ignore[method-assign]


def fill(backend: EmbeddedBackend, count: int) -> None:
    """Write the rows of faces, metadata and states."""
    mark = installation_mark(backend.bucket.marker)
    with backend.database.write() as transaction:
        first = transaction.read("SELECT key FROM collection")[0][0] << 32
        for start in range(0, count, CHUNK):
            numbers = range(start, min(count, start + CHUNK))
            faces = [uuid.UUID(int=number + 1) for number in numbers]
            transaction.executemany(
                "INSERT INTO face VALUES (?, ?, ?, ?, NULL, 0, 0, 1, 1, 99)",
                [
                    (first + number + 1, face.bytes, face.bytes, f"{mark}p{number % PEOPLE}")
                    for number, face in zip(numbers, faces, strict=True)
                ],
            )
            for number, face in zip(numbers, faces, strict=True):
                path, user_id, moment = path_of(number), f"p{number % PEOPLE}", BEGINNING + timedelta(seconds=number)
                record = FaceRecord(str(face), user_id, path, moment, Box(0.1, 0.1, 0.2, 0.2), 99.0)
                upload = Upload(path, user_id, UploadStatus.INDEXED, moment, f"{number:064x}", (str(face),))
                item, state = serialization.to_item(record), serialization.to_item(upload)
                transaction.execute(
                    "INSERT INTO FaceMetadata VALUES (?, ?, ?, ?, ?)",
                    (str(face), user_id, path, item["Timestamp"], json.dumps(item)),
                )
                transaction.execute(
                    "INSERT INTO Uploads VALUES (?, ?, ?, ?)", (path, user_id, state["Timestamp"], json.dumps(state))
                )
        transaction.execute("UPDATE collection SET face_count = ?, faces_added = ?", (count, count))


def peak_megabytes() -> float:
    """The most memory that this process has had so far."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


if __name__ == "__main__":
    main()
