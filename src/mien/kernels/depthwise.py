"""Convolve each channel of a feature map by itself, 3x3: the depthwise layers of MobileNets.

Maps, weights and epilogues are those of `convolutions`. A kernel computes as many channels at once as a vector has
bytes, in four vectors of sums: the quarters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

from mien.kernels.code import Code
from mien.kernels.convolutions import CHANNELS, HEIGHT, QUAD, SIDE, SOURCE_ROW, WIDTH, requantize
from mien.kernels.expressions import Pointer, Value
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.signatures import Array, Kernel, Size
from mien.kernels.types import F32, S8, S32, U8, U16, U32

_QUARTERS = 4
_BLOCK = 16


def depthwise_widths(isa: InstructionSet) -> list[int]:
    """Return how many channels the depthwise kernels of an instruction set may compute at once."""
    return [width for width in (16, 32, 64) if width <= isa.vector_bytes]


def channels_at_once(channels: int, isa: InstructionSet) -> int:
    """Return the most channels at once that divide so many."""
    return max(width for width in depthwise_widths(isa) if channels % width == 0)


@cache
def depthwise(stride: int, at_once: int, pairs: int) -> Kernel:
    """3x3 convolution of each channel, `at_once` channels at a time: 16, 32 or 64.

        sums[y, x, c] = sum over row and column of
            source[stride * y + row, stride * x + column, c] * weights[c, row, column]

    The source has a border of one pixel, above and left of which it begins; the target's pixels follow one another.
    """
    pixel_reach = (WIDTH - 1) * stride + SIDE
    parameters = (
        *(HEIGHT, WIDTH, SOURCE_ROW, Size("channels", multiple_of=at_once)),
        Array("source", U8, extent=(HEIGHT - 1) * stride * SOURCE_ROW + 2 * SOURCE_ROW + pixel_reach * CHANNELS),
        Array("weights", S8, extent=CHANNELS * (SIDE * QUAD)),
        Array("epilogue", F32, extent=CHANNELS * (2 * pairs)),
        Array("target", U8, extent=HEIGHT * WIDTH * CHANNELS, written=True),
    )
    return Kernel(f"depthwise_{stride}_{at_once}_{pairs}", parameters, partial(_depthwise, stride, at_once, pairs))


def _depthwise(
    stride: int,
    at_once: int,
    pairs: int,
    code: Code,
    *,
    height: Value,
    width: Value,
    source_row: Value,
    channels: Value,
    source: Pointer,
    weights: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    lanes = at_once // _QUARTERS
    for channel in code.range(0, channels, at_once):
        matrix = [_quarters(weights + channel * (SIDE * QUAD), row, QUAD * lanes) for row in range(SIDE)]
        scales = epilogue + channel * (2 * pairs)
        for y in code.range(height):
            for x, pixels in _pairs_of_pixels(code, width, stride):
                first = source + (y * (stride * source_row) + x * stride * channels + channel)
                rows = [first + source_row * row for row in range(SIDE)]
                sums = _neighbour_products(code, rows, channels, matrix, len(pixels), lanes)
                for pixel, of_pixel in zip(pixels, sums, strict=True):
                    packed = _packed_quarters(of_pixel, scales, pairs)
                    target.store(packed, (y * width + x + pixel) * channels + channel)


def pixels_at_once(channels: int, isa: InstructionSet) -> int:
    """Return how many pixels of so few channels fit into a vector; 1 if not even two do."""
    return max(isa.vector_bytes // channels, 1)


@cache
def depthwise_narrow(channels: int, pixels: int, pairs: int) -> Kernel:
    """3x3 convolution of each channel at stride 1, `pixels` at a time, whose channels together fill a vector.

    Maps as for `depthwise`; weights and epilogue are those of one pixel, repeated for each.
    """
    at_once = pixels * channels
    parameters = (
        *(HEIGHT, Size("width", multiple_of=pixels), SOURCE_ROW),
        Array("source", U8, extent=(HEIGHT + 1) * SOURCE_ROW + (WIDTH + 2) * channels),
        Array("weights", S8, extent=Size.number(at_once * SIDE * QUAD)),
        Array("epilogue", F32, extent=Size.number(at_once * 2 * pairs)),
        Array("target", U8, extent=HEIGHT * WIDTH * channels, written=True),
    )
    build = partial(_depthwise_narrow, channels, pixels, pairs)
    return Kernel(f"depthwise_narrow_{channels}_{pixels}_{pairs}", parameters, build)


def _depthwise_narrow(
    channels: int,
    pixels: int,
    pairs: int,
    code: Code,
    *,
    height: Value,
    width: Value,
    source_row: Value,
    source: Pointer,
    weights: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    lanes = pixels * channels // _QUARTERS
    matrix = [_quarters(weights, row, QUAD * lanes) for row in range(SIDE)]
    for y in code.range(height):
        for x in code.range(0, width, pixels):
            first = source + (y * source_row + x * channels)
            rows = [first + source_row * row for row in range(SIDE)]
            [sums] = _neighbour_products(code, rows, channels, matrix, 1, lanes)
            target.store(_packed_quarters(sums, epilogue, pairs), (y * width + x) * channels)


def _packed_quarters(sums: Sequence[Value], epilogue: Pointer, pairs: int) -> Value:
    """Return the bytes of a vector's channels in their order; `pack` clamps them to 0 to 255."""
    code, lanes = sums[0].code, sums[0].lanes
    quarters = [_quarters(epilogue, number, lanes) for number in range(2 * pairs)]
    each = zip(sums, zip(*quarters, strict=True), strict=True)
    return code.isa.pack([requantize(one, of_one) for one, of_one in each])


def _neighbour_products(
    code: Code, rows: Sequence[Pointer], channels: Value | int, matrix: Sequence[list[Value]], pixels: int, lanes: int
) -> list[list[Value]]:
    """Sum the products of one pixel, or of two that are neighbours, with their surroundings.

    Four neighbours of a row come into one lane of 32 bits, with three weights and a zero; shifted by a byte, the lane
    has those of the next pixel.
    """
    sums = [[code.constant(S32, 0, lanes)] * _QUARTERS for _ in range(pixels)]
    for row, weights in zip(rows, matrix, strict=True):
        near = [row.load(channels * x, QUAD * lanes) for x in range(SIDE - 1 + pixels)]
        quads = _interleaved([*near, near[-1]][:QUAD])
        for pixel, of_pixel in enumerate(sums):
            shifted = [(quad.view(U32) >> 8).view(U8) for quad in quads] if pixel else quads
            terms = zip(of_pixel, shifted, weights, strict=True)
            sums[pixel] = [code.isa.dot(one, [(quad, weight)], bounded=True) for one, quad, weight in terms]
    return sums


def _interleaved(pixels: Sequence[Value]) -> list[Value]:
    """Take four pixels' channels to four vectors, whose lanes have one channel of all pixels.

    In each 16 bytes the first vector has the first four of sixteen channels, the second the next four, and so on.
    """
    one, two, three, four = pixels
    halves = [(_zipped(one, two, half), _zipped(three, four, half)) for half in (0, 1)]
    return [_zipped(left.view(U16), right.view(U16), half).view(U8) for left, right in halves for half in (0, 1)]


def _zipped(left: Value, right: Value, half: int) -> Value:
    """Take elements of two vectors in turn, from the lower or upper half of each 16 bytes."""
    count, per_block = left.lanes, _BLOCK // left.dtype.bytes
    first = half * per_block // 2
    numbers = [block + first + n for block in range(0, count, per_block) for n in range(per_block // 2)]
    return left.shuffle([place for number in numbers for place in (number, count + number)], right)


def _quarters(start: Pointer, number: int, elements: int) -> list[Value]:
    return [start.load((_QUARTERS * number + part) * elements, elements) for part in range(_QUARTERS)]


def _pairs_of_pixels(code: Code, width: Value, stride: int) -> Iterator[tuple[Value, range]]:
    if stride == 1:
        even = width - width % 2
        for x in code.range(0, even, 2):
            yield x, range(2)
        for x in code.range(even, width):
            yield x, range(1)
    else:
        for x in code.range(width):
            yield x, range(1)
