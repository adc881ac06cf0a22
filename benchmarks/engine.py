"""Measure photos per second from bytes to embeddings: Mien, OpenCV and face_recognition in turns, in one run.

    python -m benchmarks.engine --data DIR [--dlib-python PYTHON] [--json]

DIR contains `lfw_dev/*/*.jpg` and `photos/groups/004_A.jpg` (12 megapixels, one face). PYTHON is an interpreter
that has face_recognition; without it that peer is left out. Every peer embeds every face of every photo. In the
case "one core" each peer has one thread. The last column has the least processor time of a photo in this process, which
other programs on the machine change less. `MIEN_CPU=avx2 OPENCV_CPU_DISABLE=AVX512-SKX` limits
Mien and OpenCV to AVX2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mien.engine import FaceEngine, model_files
from mien.engine.networks.onnx_passes import dequantize_weights

Reader = Callable[[list[bytes]], object]
ROUNDS = 5


class OpenCV:
    """The same two models in fp32, run by FaceDetectorYN and FaceRecognizerSF as in OpenCV's sample."""

    def __init__(self, folder: Path, long_side: int | None = None) -> None:
        paths = [folder / file.name for file in (model_files.DETECTOR, model_files.EMBEDDER)]
        for path, file in zip(paths, (model_files.DETECTOR, model_files.EMBEDDER), strict=True):
            path.write_bytes(dequantize_weights(model_files.load(file).content))
        self._detector = cv2.FaceDetectorYN.create(str(paths[0]), "", (320, 320), 0.7)
        self._embedder = cv2.FaceRecognizerSF.create(str(paths[1]), "")
        self._long_side = long_side

    def __call__(self, photos: list[bytes]) -> None:
        for photo in photos:
            self._read(photo)

    def _read(self, photo: bytes) -> None:
        image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
        scale = min(1.0, self._long_side / max(image.shape[:2])) if self._long_side else 1.0
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, faces = self._detector.detect(image)
        for face in [] if faces is None else faces:
            self._embedder.feature(self._embedder.alignCrop(image, face))


class Dlib:
    """face_recognition in another interpreter, which measures the time itself, without its start."""

    def __init__(self, python: str) -> None:
        script = Path(__file__).with_name("peer_dlib.py")
        self._process = subprocess.Popen([python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def seconds(self, paths: list[Path]) -> float:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(path) for path in paths]).encode() + b"\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dlib-python")
    parser.add_argument("--photos", type=int, default=60, help="LFW photos in each round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [*_lfw(options, Path(folder)), *_one_core(options, Path(folder)), *_large(options, Path(folder))]
    print(json.dumps(rows, indent=2) if options.json else _table(rows))


def _lfw(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    paths = _lfw_paths(options)
    photos, engine, opencv = [path.read_bytes() for path in paths], FaceEngine(), OpenCV(folder)
    peers = {
        "Mien, read_many": lambda: _time(lambda batch: list(engine.read_many(batch)), photos),
        "Mien, one after another": lambda: _time(lambda batch: [engine.read(one) for one in batch], photos),
        "OpenCV": lambda: _time(opencv, photos),
    }
    if options.dlib_python:
        dlib = Dlib(options.dlib_python)
        peers["face_recognition"] = lambda: dlib.seconds(paths)
    return _in_turns("LFW, 250 x 250", peers, len(photos))


def _lfw_paths(options: argparse.Namespace) -> list[Path]:
    return sorted((options.data / "lfw_dev").glob("*/*.jpg"))[: options.photos]


def _one_core(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    photos = [path.read_bytes() for path in _lfw_paths(options)]
    engine, opencv, threads = FaceEngine(threads=1), OpenCV(folder), cv2.getNumThreads()
    cv2.setNumThreads(1)
    peers = {
        "Mien, one after another": lambda: _time(lambda batch: [engine.read(one) for one in batch], photos),
        "OpenCV": lambda: _time(opencv, photos),
    }
    try:
        return _in_turns("LFW, one core", peers, len(photos))
    finally:
        cv2.setNumThreads(threads)


def _large(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    photos, engine = [(options.data / "photos/groups/004_A.jpg").read_bytes()], FaceEngine()
    opencv, scaled = OpenCV(folder), OpenCV(folder, 640)
    peers = {
        "Mien, one after another": lambda: _time(lambda batch: [engine.read(one) for one in batch], photos),
        "OpenCV": lambda: _time(opencv, photos),
        "OpenCV, scaled to 640": lambda: _time(scaled, photos),
    }
    return _in_turns("12 megapixels, one face", peers, 1)


def _time(reader: Reader, photos: list[bytes]) -> float:
    start = time.perf_counter()
    reader(photos)
    return time.perf_counter() - start


def _in_turns(case: str, peers: dict[str, Callable[[], float]], photos: int) -> list[dict[str, object]]:
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    processor: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS + 1):
        for name, run in peers.items():
            start = time.process_time()
            seconds[name].append(run())
            processor[name].append(time.process_time() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    mien = next(iter(medians.values()))
    return [
        {
            "case": case,
            "peer": name,
            "photos_per_second": photos / median,
            "mien_is_faster_by": median / mien,
            "processor_ms": min(processor[name][1:]) / photos * 1000,
        }
        for name, median in medians.items()
    ]


def _table(rows: list[dict[str, object]]) -> str:
    lines = ["| case | peer | photos/s | Mien is faster by | processor ms |", "|---|---|---:|---:|---:|"]
    row = "| {case} | {peer} | {photos_per_second:.1f} | {mien_is_faster_by:.1f}x | {processor_ms:.1f} |"
    lines += [row.format(**values) for values in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
