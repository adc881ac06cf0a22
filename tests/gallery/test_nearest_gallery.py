"""The gallery on its index: pairs, and what happens to a process that dies at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tests.gallery.plain_truth import people

from mien.gallery import Gallery

MODEL = "model-1"
KILLS = int(os.environ.get("MIEN_TEST_KILLS", "6"))

WRITER = """
import sys, pathlib, numpy as np
from mien.gallery import Gallery, gallery
from mien.gallery.nearest import Indexes, Tuning
gallery.Indexes = lambda folder, truth: Indexes(folder, truth, Tuning(seal_at=64, segment=256, dead_share=0.1))
stored = Gallery(pathlib.Path(sys.argv[1]), "model-1")
random = np.random.default_rng(int(sys.argv[2]))
while True:
    vectors = random.standard_normal((20, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = stored.bulk_add("faces", vectors)
    for face_id, vector in zip(ids, vectors):
        print("added", face_id, vector.tobytes().hex(), flush=True)
    stored.search_faces("faces", vectors[:2], threshold=80)
    print("deleting", *ids[:5], flush=True)
    stored.delete_faces("faces", ids[:5])
    print("deleted", *ids[:5], flush=True)
"""


def test_similar_pairs_are_each_found_once(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, MODEL)
    gallery.create_collection("faces")
    vectors = people(30, photos=2)
    ids = gallery.bulk_add("faces", vectors)
    found = {(one.face_id, other.face_id) for one, other, score in gallery.similar_pairs("faces", 90) if score >= 90}
    gallery.close()
    assert found == set(zip(ids[::2], ids[1::2], strict=True))


def run_and_kill(folder: Path, seed: int, seconds: float) -> list[str]:
    """What the writer had said before it was killed; a line that was cut off is left out."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(seed)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said = (first + process.stdout.read()).decode()
    return said[: said.rfind("\n")].splitlines()


def test_killed_at_any_moment_no_answered_face_is_lost_or_comes_back(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, MODEL)
    gallery.create_collection("faces")
    gallery.close()
    known: dict[str, np.ndarray] = {}
    unsure: set[str] = set()
    gone: set[str] = set()
    moments = random.Random(5)
    for seed in range(KILLS):
        for line in run_and_kill(tmp_path, seed, moments.uniform(0.0, 0.6)):
            word, *rest = line.split()
            if word == "added":
                known[rest[0]] = np.frombuffer(bytes.fromhex(rest[1]), np.float32)
            elif word == "deleting":
                unsure |= set(rest)
            else:
                known = {face_id: vector for face_id, vector in known.items() if face_id not in rest}
                unsure -= set(rest)
                gone |= set(rest)
        unsure = check(tmp_path, known, unsure, gone)


def check(folder: Path, known: dict[str, np.ndarray], unsure: set[str], gone: set[str]) -> set[str]:
    """Every face whose addition was answered is found by its vector; deletions happened wholly or not at all."""
    gallery = Gallery(folder, MODEL)
    ids = list(known)
    for face_id, matches in zip(ids, gallery.search_faces("faces", np.array([*known.values()]), limit=1), strict=True):
        found = [match.face.face_id for match in matches]
        assert found == [face_id] or face_id in unsure
        if face_id in unsure and found != [face_id]:
            del known[face_id]
    stored = {face.face_id for face in gallery.list_faces("faces").items}
    gallery.close()
    assert set(known) <= stored
    assert not gone & stored
    return set()


def test_a_gallery_of_another_model_does_not_use_the_cache(tmp_path: Path) -> None:
    for model in ("one", "two"):
        gallery = Gallery(tmp_path, model)
        gallery.create_collection(model)
        (face_id,) = gallery.bulk_add(model, people(1))
        assert [match.face.face_id for match in gallery.search_faces(model, people(1))[0]] == [face_id]
        gallery.close()


def test_many_small_collections_open_lazily(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, MODEL)
    for number in range(50):
        gallery.create_collection(f"c{number}")
    gallery.bulk_add("c7", people(3))
    assert len(gallery.search_faces("c7", people(3))[0]) == 1
    assert len(gallery._indexes._open) == 1
    gallery.close()
