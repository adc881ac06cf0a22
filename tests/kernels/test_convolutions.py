"""The convolutions compute what the reference says, to the bit, and touch nothing outside their arrays."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from mien.engine.networks import pack, reference, sface, yunet
from mien.engine.networks.quantize import (
    Groups,
    depthwise_groups,
    largest_sums,
    pointwise_groups,
    quantize_per_channel,
    single_groups,
    stem_groups,
)
from mien.kernels import convolutions, depthwise
from mien.kernels.depthwise import channels_at_once, pixels_at_once
from mien.kernels.instruction_sets import MAX_WEIGHT_SUM, InstructionSet, available
from mien.kernels.signatures import Argument, Kernel
from tests.kernels.emulated import run_emulated
from tests.kernels.guarded import guarded

FILLS = ("random", "high", "low")


def run(isa: InstructionSet, network: ModuleType, kernel: Kernel, target: str, /, **arguments: Argument) -> np.ndarray:
    """Run a network's kernel twice, its arrays at either end of their memory; returns what it wrote."""
    results = []
    for at_end in (True, False):
        placed = {
            name: guarded(value, at_end=at_end) if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
        }
        if isa in available():
            network.kernel_set(isa).call(kernel, **placed)
        else:
            run_emulated(isa, kernel, placed, at_end=at_end)
        results.append(np.array(placed[target]))
    np.testing.assert_array_equal(*results)
    return results[0]


def weights(rng: np.random.Generator, shape: tuple[int, ...], groups: Groups, fill: str) -> np.ndarray:
    """Weights as the engine makes them, or those whose sums in 16 bits are the largest, or the least."""
    if fill == "random":
        return quantize_per_channel(rng.standard_t(3, shape), groups)[0].astype(np.int8)
    size = int(np.prod(shape[1:]))
    members = (groups != -1) & (groups != size)
    share, rest = np.divmod(MAX_WEIGHT_SUM, members.sum(axis=1, keepdims=True))
    values = np.minimum(share + (np.arange(groups.shape[1]) < rest), 127)
    row = np.zeros(size + 1, np.int8)
    row[groups[members]] = values[members]
    return np.broadcast_to(row[:-1] * (1 if fill == "high" else -1), (shape[0], size)).reshape(shape).astype(np.int8)


def source(rng: np.random.Generator, shape: tuple[int, ...], fill: str) -> np.ndarray:
    return rng.integers(0, 256, shape, np.uint8) if fill == "random" else np.full(shape, 255, np.uint8)


def epilogue(rng: np.random.Generator, sums: np.ndarray, pairs: int) -> np.ndarray:
    """Scales that spread the sums over the bytes and somewhat beyond, some of them negative."""
    outputs = sums.shape[-1]
    spread = np.maximum(np.abs(sums).max(axis=(0, 1)), 1)
    scales = rng.uniform(100, 400, (pairs, outputs)) / spread * rng.choice([-1, 1], (pairs, outputs))
    biases = rng.uniform(-50, 300, (pairs, outputs))
    return np.stack([scales, biases], axis=1).reshape(2 * pairs, outputs).astype(np.float32)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (2, 9)])
@pytest.mark.parametrize(("inputs", "outputs"), [(8, 32), (32, 64), (1024, 32)])
def test_a_pointwise_layer(
    rng: np.random.Generator, any_isa: InstructionSet, size: tuple[int, int], inputs: int, outputs: int, fill: str
) -> None:
    values = source(rng, (*size, inputs), fill)
    for kernels, pairs, panel in [(sface, 2, 32), (yunet, 1, 32), (yunet, 1, 16)]:
        groups = pointwise_groups(inputs) if kernels is sface else single_groups(inputs)
        matrix = weights(rng, (outputs, inputs, 1, 1), groups, fill)
        sums = reference.convolve(values, matrix, np.zeros(inputs, np.uint8))
        scales = epilogue(rng, sums, pairs)
        written = run(
            any_isa,
            kernels,
            convolutions.pointwise(panel, pairs, bounded=kernels is sface),
            "target",
            height=size[0],
            width=size[1],
            inputs=inputs,
            outputs=outputs,
            target_row=size[1] * outputs,
            source=values,
            weights=pack.pack_pointwise(matrix[:, :, 0, 0], panel),
            epilogue=pack.pack_epilogue(scales, panel),
            target=np.zeros((*size, outputs), np.uint8),
        )
        np.testing.assert_array_equal(written, reference.requantize(sums, scales))


def test_a_pointwise_layer_leaves_the_border_of_its_target_alone(
    rng: np.random.Generator, any_isa: InstructionSet
) -> None:
    matrix, values = weights(rng, (32, 8, 1, 1), pointwise_groups(8), "random"), source(rng, (3, 5, 8), "random")
    row = 7 * 32
    target = np.full((3 - 1) * row + 5 * 32, 77, np.uint8)
    scales = np.stack([np.zeros(32), np.full(32, 5.5)] * 2).astype(np.float32)
    written = run(
        any_isa,
        sface,
        sface.POINTWISE,
        "target",
        height=3,
        width=5,
        inputs=8,
        outputs=32,
        target_row=row,
        source=values,
        weights=pack.pack_pointwise(matrix[:, :, 0, 0], 32),
        epilogue=pack.pack_epilogue(scales, 32),
        target=target,
    )
    inside = np.concatenate([written, np.full(2 * 32, 77, np.uint8)]).reshape(3, 7, 32)
    assert (inside[:, :5] == 5).all()
    assert (inside[:, 5:] == 77).all()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 7)])
@pytest.mark.parametrize(("kernels", "stride", "pairs"), [(sface, 1, 2), (sface, 2, 2), (yunet, 1, 1)])
@pytest.mark.parametrize("channels", [16, 96, 128])
def test_a_depthwise_layer(
    rng: np.random.Generator,
    any_isa: InstructionSet,
    channels: int,
    kernels: ModuleType,
    stride: int,
    pairs: int,
    size: tuple[int, int],
    fill: str,
) -> None:
    matrix = weights(rng, (channels, 1, 3, 3), depthwise_groups(), fill)
    values, border = source(rng, (stride * size[0], stride * size[1], channels), fill), source(rng, (channels,), fill)
    sums = reference.convolve(values, matrix, border, stride)
    scales, at_once = epilogue(rng, sums, pairs), channels_at_once(channels, any_isa)
    padded = reference.pad(values, border)
    row = padded.shape[1] * channels
    end = ((size[0] - 1) * stride + 2) * row + ((size[1] - 1) * stride + 3) * channels
    written = run(
        any_isa,
        kernels,
        depthwise.depthwise(stride, at_once, pairs),
        "target",
        height=size[0],
        width=size[1],
        channels=channels,
        source_row=row,
        source=padded.reshape(-1)[:end],
        weights=pack.pack_depthwise(matrix, at_once),
        epilogue=pack.pack_depthwise_epilogue(scales, at_once),
        target=np.zeros((*size, channels), np.uint8),
    )
    np.testing.assert_array_equal(written, reference.requantize(sums, scales))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("size", [(1, 4), (3, 12)])
@pytest.mark.parametrize("channels", [16, 32])
def test_a_depthwise_layer_of_few_channels(
    rng: np.random.Generator, any_isa: InstructionSet, channels: int, size: tuple[int, int], fill: str
) -> None:
    pixels = pixels_at_once(channels, any_isa)
    if pixels == 1:
        pytest.skip("a vector holds one pixel")
    matrix = weights(rng, (channels, 1, 3, 3), depthwise_groups(), fill)
    values, border = source(rng, (*size, channels), fill), source(rng, (channels,), fill)
    sums = reference.convolve(values, matrix, border)
    scales, padded = epilogue(rng, sums, 1), reference.pad(values, border)
    repeated_weights, repeated_scales = pack.repeated_for_pixels(matrix, scales, pixels)
    written = run(
        any_isa,
        yunet,
        depthwise.depthwise_narrow(channels, pixels, 1),
        "target",
        height=size[0],
        width=size[1],
        source_row=padded.shape[1] * channels,
        source=padded,
        weights=pack.pack_depthwise(repeated_weights, pixels * channels),
        epilogue=pack.pack_depthwise_epilogue(repeated_scales, pixels * channels),
        target=np.zeros((*size, channels), np.uint8),
    )
    np.testing.assert_array_equal(written, reference.requantize(sums, scales))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (1, 17)])
@pytest.mark.parametrize(("kernels", "stride", "panel", "pairs"), [(sface, 1, 32, 2), (yunet, 2, 16, 1)])
def test_the_stem(
    rng: np.random.Generator,
    any_isa: InstructionSet,
    kernels: ModuleType,
    stride: int,
    panel: int,
    pairs: int,
    size: tuple[int, int],
    fill: str,
) -> None:
    matrix = weights(rng, (panel, 3, 3, 3), stem_groups(), fill)
    values, border = source(rng, (stride * size[0], stride * size[1], 3), fill), source(rng, (3,), fill)
    sums = reference.convolve(values, matrix, border, stride)
    scales, padded = epilogue(rng, sums, pairs), reference.pad(values, border)
    end = ((size[0] - 1) * stride + 2) * padded.shape[1] * 3 + (size[1] - 1) * stride * 3 + 12
    written = run(
        any_isa,
        kernels,
        convolutions.stem(stride, panel, pairs),
        "target",
        height=size[0],
        width=size[1],
        source_row=padded.shape[1] * 3,
        target_row=size[1] * panel,
        source=np.concatenate([padded.reshape(-1), np.full(3, 99, np.uint8)])[:end],
        weights=pack.pack_stem(matrix),
        epilogue=pack.pack_epilogue(scales, panel),
        target=np.zeros((*size, panel), np.uint8),
    )
    np.testing.assert_array_equal(written, reference.requantize(sums, scales))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("images", [1, 4])
def test_the_linear_layer(rng: np.random.Generator, any_isa: InstructionSet, images: int, fill: str) -> None:
    """With as many inputs as SFace has: the largest sums that occur."""
    inputs, stride = 50176, 50176 + 64
    matrix = weights(rng, (128, inputs, 1, 1), pointwise_groups(inputs), fill)[:, :, 0, 0]
    values = source(rng, ((images - 1) * stride + inputs,), fill)
    scales = rng.normal(0, 1e-5, (2, 128)).astype(np.float32)
    written = run(
        any_isa,
        sface,
        convolutions.linear(images, 128),
        "target",
        inputs=inputs,
        image_stride=stride,
        source=values,
        weights=pack.pack_linear(matrix),
        epilogue=scales,
        target=np.zeros((images, 128), np.float32),
    )
    starts = range(0, images * stride, stride)
    exact = [reference.linear(values[start : start + inputs], matrix, scales) for start in starts]
    np.testing.assert_array_equal(written, np.stack(exact))


@pytest.mark.parametrize("groups", [pointwise_groups(64), depthwise_groups(), stem_groups()])
def test_quantised_weights_fit_into_16_bits_where_they_are_added_so(rng: np.random.Generator, groups: Groups) -> None:
    size = int(groups.max()) + 1
    rows = np.concatenate([rng.standard_t(2, (500, size)), np.ones((1, size)), -np.ones((1, size))])
    integers, scale = quantize_per_channel(rows.astype(np.float32), groups)
    sums = largest_sums(integers, groups)
    assert sums.max() <= MAX_WEIGHT_SUM
    assert np.median(sums) > 0.9 * MAX_WEIGHT_SUM
    assert (np.abs(integers * scale[:, None] - rows) < scale[:, None]).all()


def test_a_fused_product_is_rounded_once(rng: np.random.Generator) -> None:
    """Checked with integers of any length."""
    left, right = (np.float32(rng.integers(-(2**24), 2**24, 2000)) for _ in range(2))
    addend = np.float32(rng.integers(-(2**24), 2**24, 2000)) * np.float32(2.0) ** rng.integers(0, 25, 2000)
    addend[:500] = -np.float32(left * right)[:500]
    computed = reference.fma(left, right, np.float32(addend))
    for one, other, third, result in zip(left, right, addend, computed, strict=True):
        exact = int(one) * int(other) + int(third)
        near = [np.nextafter(result, np.float32(end)) for end in (-np.inf, np.inf)]
        assert abs(int(result) - exact) <= min(abs(int(each) - exact) for each in near)


@pytest.mark.parametrize("name", ["width", "inputs", "source", "target"])
def test_wrong_arguments_are_refused_before_a_call(isa: InstructionSet, name: str) -> None:
    right = {
        "height": 2,
        "width": 2,
        "inputs": 8,
        "outputs": 32,
        "target_row": 64,
        "source": np.zeros(32, np.uint8),
        "weights": np.zeros(256, np.int8),
        "epilogue": np.zeros(128, np.float32),
        "target": np.zeros(128, np.uint8),
    }
    sface.kernel_set(isa).call(sface.POINTWISE, **right)
    wrong = {
        "width": [3, 2.0, -1],
        "inputs": [12, 16],
        "source": [np.zeros(31, np.uint8), np.zeros(32, np.int8), np.zeros(64, np.uint8)[::2], 5],
        "target": [np.frombuffer(bytes(128), np.uint8), np.zeros(127, np.uint8)],
    }
    for value in wrong[name]:
        with pytest.raises((TypeError, ValueError), match="pointwise_32_2"):
            sface.kernel_set(isa).call(sface.POINTWISE, **{**right, name: value})
    with pytest.raises(TypeError, match="takes height, width"):
        sface.kernel_set(isa).call(sface.POINTWISE, **{key: value for key, value in right.items() if key != name})
    with pytest.raises(TypeError, match="takes height, width"):
        sface.kernel_set(isa).call(sface.POINTWISE, **right, further=1)
