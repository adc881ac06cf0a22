"""The detector's layers compute what the reference says, to the bit, and touch nothing outside their arrays."""

from __future__ import annotations

import numpy as np
import pytest

from mien.engine.networks import pack, reference, yunet
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.layers import CELL, HEAD_DEPTHWISE, HEAD_POINTWISE, MAX_POOL, PAD, UPSAMPLE_ADD
from tests.kernels.test_convolutions import run

SIZES = [(1, 1), (2, 3), (5, 4), (3, 9)]


@pytest.mark.parametrize("size", SIZES)
def test_padding_fills_the_border_only(
    rng: np.random.Generator, any_isa: InstructionSet, size: tuple[int, int]
) -> None:
    height, width = size
    values, zero = (rng.integers(0, 256, shape, np.uint8) for shape in ((height, width, 32), (32,)))
    target = reference.pad(values, np.full(32, 77, np.uint8))
    size_of = {"height": height, "width": width, "channels": 32}
    written = run(any_isa, yunet, PAD, "target", **size_of, zero=zero, target=target)
    np.testing.assert_array_equal(written, reference.pad(values, zero))


@pytest.mark.parametrize("size", SIZES)
def test_max_pooling(rng: np.random.Generator, any_isa: InstructionSet, size: tuple[int, int]) -> None:
    height, width = size
    values = rng.integers(0, 256, (2 * height, 2 * width, 48), np.uint8)
    target = np.zeros((height, width, 48), np.uint8)
    size_of = {"height": height, "width": width, "channels": 48}
    written = run(any_isa, yunet, MAX_POOL, "target", **size_of, source=values, target=target)
    np.testing.assert_array_equal(written, reference.max_pool(values))


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (6, 2)])
def test_upsampling_with_addition(rng: np.random.Generator, any_isa: InstructionSet, size: tuple[int, int]) -> None:
    height, width = size
    values = rng.integers(0, 256, (height, width, 32), np.uint8)
    half = rng.integers(0, 256, (height // 2, width // 2, 32), np.uint8)
    scales = np.stack([rng.uniform(-1, 2, 32), rng.uniform(-1, 2, 32), rng.uniform(-90, 90, 32)]).astype(np.float32)
    arrays = {"source": values, "half": half, "epilogue": scales, "target": np.zeros_like(values)}
    size_of = {"height": height, "width": width, "channels": 32}
    written = run(any_isa, yunet, UPSAMPLE_ADD, "target", **size_of, **arrays)
    np.testing.assert_array_equal(written, reference.upsample_add(values, half, scales))


@pytest.mark.parametrize("fill", ["random", "largest"])
@pytest.mark.parametrize("size", SIZES)
def test_a_head(rng: np.random.Generator, any_isa: InstructionSet, size: tuple[int, int], fill: str) -> None:
    height, width = size
    values = (
        rng.integers(0, 256, (height, width, 64), np.uint8) if fill == "random" else np.full((*size, 64), 255, np.uint8)
    )
    parts = rng.integers(-63, 64, (2, CELL, 64), np.int8) if fill == "random" else np.full((2, CELL, 64), 64, np.int8)
    scales, bias = rng.normal(0, 1e-3, (3, CELL)).astype(np.float32), rng.normal(0, 1, CELL).astype(np.float32)
    matrix = rng.normal(0, 1, (9, CELL)).astype(np.float32)
    mixed = run(
        any_isa,
        yunet,
        HEAD_POINTWISE,
        "target",
        height=height,
        width=width,
        inputs=64,
        target_row=width * CELL,
        source=values,
        weights=np.stack([pack.pack_pointwise(part, CELL) for part in parts]),
        epilogue=scales,
        target=np.zeros((height, width, CELL), np.float32),
    )
    table = run(
        any_isa,
        yunet,
        HEAD_DEPTHWISE,
        "target",
        height=height,
        width=width,
        source_row=(width + 2) * CELL,
        source=reference.pad(mixed, np.zeros(CELL, np.float32)),
        weights=matrix,
        bias=bias,
        target=np.zeros((height * width, CELL), np.float32),
    )
    np.testing.assert_array_equal(table, reference.head(values, parts, scales, matrix, bias))
