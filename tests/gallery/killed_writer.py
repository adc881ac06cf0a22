"""A process that adds, deletes and compacts until it is killed; each line tells what begins or was answered.

    python -m tests.gallery.killed_writer FOLDER FIRST_BATCH

Every file that the index makes, renames or removes is a line too, so that a kill can be aimed at any moment
of a compaction: half of the vectors written, in training, before or after the rename.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mien.gallery import Gallery
from mien.gallery.vector_index import IndexConfig
from tests.gallery.faces import MODEL, Vectors, embeddings

PEOPLE, BATCH, DELETED, MAX_BATCHES = "people", 20, 5, 1000


def open_small(folder: Path) -> Gallery:
    """A gallery that builds, merges and thins segments of a few hundred faces."""
    config = IndexConfig(seal_threshold=64, max_segment=256, max_deleted_ratio=0.1, retry_after=0.0)
    return Gallery(folder, MODEL, index_config=config)


def vectors(batch: int) -> Vectors:
    return embeddings(BATCH, seed=batch)


def say(*words: object) -> None:
    """Print by one system call: lines of two threads do not mix, and none is lost in a buffer."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def tell_of_files(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"open", "os.mkdir", "os.rename", "shutil.rmtree"} and "/index/" in str(arguments[0]):
        say("compacting", event, Path(str(arguments[0])).name)


def main(folder: Path, first: int) -> None:
    gallery = open_small(folder)
    sys.addaudithook(tell_of_files)
    for batch in range(first, first + MAX_BATCHES):
        say("adding", batch)
        ids = gallery.faces.add_embeddings(PEOPLE, vectors(batch))
        say("added", batch, *ids)
        gallery.search.faces(PEOPLE, vectors(batch)[:1])
        say("deleting", *ids[:DELETED])
        gallery.faces.delete(PEOPLE, ids[:DELETED])
        say("deleted", *ids[:DELETED])
        if batch % 3 == 0:
            gallery.compact(PEOPLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
