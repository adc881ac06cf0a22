"""Measure the ranges of YuNet's activations on photos, for src/mien/engine/networks/yunet_ranges.json.

    python -m benchmarks.yunet_ranges FOLDER > ranges.json

FOLDER contains `lfw_dev/*/*.jpg` and `photos/groups/*.jpg`. The ranges cover every canvas on which the engine runs
YuNet for every third of the photos, plus a margin. OpenCV computes all in fp32, the detections too, on which the
canvases depend: so the ranges that are in use have no influence on those that are found.

Those in use were found so with an earlier build, whose crops lay a little differently. Today's differ from them by more
than 0.01 in an eighth of the values, by 1.2 at most, and with them lfw_dev has a d' of 6.36 instead of 6.39, the same
TMRs, and every right person first: within what such choices change, and not worth other embeddings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mien.engine import FaceEngine, model_files
from mien.engine.context import Floats, Pixels
from mien.engine.networks.onnx_passes import STRIDES, dequantize_weights, fuse_heads
from mien.engine.networks.yunet_layers import Head, Pool, read_layers

EVERY_NTH_PHOTO = 3
MARGIN = 1.05


class RecordingNetwork:
    """YuNet with the grids of some strides in fp32, which records its inputs."""

    def __init__(self, strides: tuple[int, ...], seen: list[Pixels]) -> None:
        self._network, self._seen = network_with_outputs(model_content(strides), ["table"]), seen

    def __call__(self, canvases: Pixels) -> Floats:
        self._seen.extend(canvases)
        return np.concatenate([self._table(canvas) for canvas in canvases])

    def _table(self, canvas: Pixels) -> Floats:
        self._network.setInput(cv2.dnn.blobFromImage(canvas, swapRB=True))
        table: Floats = self._network.forward()
        return table


def model_content(strides: tuple[int, ...]) -> bytes:
    content: bytes = model_files.load(model_files.DETECTOR).transformed(
        dequantize_weights, partial(fuse_heads, strides=strides)
    )
    return content


def canvases(folder: Path) -> Iterator[Pixels]:
    seen: list[Pixels] = []
    engine = FaceEngine(threads=1)
    for name, strides in (("_detector", STRIDES), ("_large_face_refiner", STRIDES[-1:])):
        setattr(engine, name, RecordingNetwork(strides, seen))
    photos = [*sorted((folder / "lfw_dev").glob("*/*.jpg")), *sorted((folder / "photos/groups").glob("*.jpg"))]
    for photo in photos[::EVERY_NTH_PHOTO]:
        engine.detect(photo.read_bytes())
        yield from seen
        seen.clear()


def network_with_outputs(content: bytes, names: list[str]) -> cv2.dnn.Net:
    """Load the model so that the maps of these names are outputs."""
    model = onnx.load_from_string(content)
    del model.graph.output[:]
    shape = ["images", "channels", "height", "width"]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names)
    return cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    folder = options.parse_args().folder
    content = model_content(STRIDES)
    names = [layer.target for layer in read_layers(content) if not isinstance(layer, Pool | Head)]
    network = network_with_outputs(content, names)
    ends: dict[str, NDArray[np.float32]] = {name: np.zeros((2, 1), np.float32) for name in names}
    for canvas in canvases(folder):
        network.setInput(cv2.dnn.blobFromImage(canvas, swapRB=True))
        for name, values in zip(names, network.forward(names), strict=True):
            low, high = ends[name]
            ends[name] = np.stack([np.minimum(low, values.min((0, 2, 3))), np.maximum(high, values.max((0, 2, 3)))])
    rounded = {name: np.round(MARGIN * both.astype(np.float64), 2).tolist() for name, both in ends.items()}
    rows = (f'"{name}": {json.dumps(both, separators=(",", ":"))}' for name, both in rounded.items())
    print("{\n" + ",\n".join(rows) + "\n}")


if __name__ == "__main__":
    main()
