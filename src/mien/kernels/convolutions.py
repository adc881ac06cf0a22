"""Convolve feature maps of u8 with weights of s8: the stem, pointwise and linear layers of MobileNets.

Products are added in s32. The epilogue of a channel, one or two pairs of scale and bias, turns a sum into a byte: the
larger of scale * sum + bias, truncated to an integer and clamped to 0 to 255. Two pairs are a PReLU.

Sums of integers are exact, so the loops may take pixels and channels in any order: a tile of pixels by a panel of
channels, whose sums stay in registers, and four inputs, a quad, at a time.

Maps lie in memory as (height, width, channels). A row has a stride of its own, as maps may have a border.
Weights are bounded (`instruction_sets.MAX_WEIGHT_SUM`), but for a pointwise layer that is told otherwise.
`engine.networks.reference` says in NumPy what each kernel computes, `engine.networks.pack` how weights are laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

from mien.kernels.code import Code
from mien.kernels.expressions import Pointer, Value, Variable
from mien.kernels.instruction_sets import InstructionSet
from mien.kernels.signatures import Array, Kernel, Size
from mien.kernels.types import F32, S8, S32, U8, U32

COLOURS = 3
SIDE = 3
"""Height and width of the stem's and the depthwise weights."""
QUAD = 4
"""Bytes whose products with four weights are added at once."""
QUADS_AT_ONCE = 2
"""That a pointwise or linear layer adds at once."""
STEM_QUADS = 3
"""Quads in which a row of three pixels of the stem's source fits; the last three bytes weigh nothing."""
MAX_LINEAR_BATCH = 4
LINEAR_PANEL = 64
_BOUND = {True: "", False: "_any"}
"""Behind the name of a kernel: whether its weights are bounded by MAX_WEIGHT_SUM, or any."""
_BLOCK = 16
CACHE_LINE = 64

HEIGHT, WIDTH, SOURCE_ROW, TARGET_ROW = (Size(name) for name in ("height", "width", "source_row", "target_row"))
INPUTS, OUTPUTS = Size("inputs", multiple_of=QUAD * QUADS_AT_ONCE), Size("outputs", multiple_of=_BLOCK)
CHANNELS = Size("channels", multiple_of=_BLOCK)

Panel = list[list[Variable]]
"""Accumulators of a tile: for each pixel the vectors of its channels."""


@cache
def stem(stride: int, panel: int, pairs: int) -> Kernel:
    """3x3 convolution of RGB pixels at a stride, to `panel` channels; `pairs` are those of the epilogue.

        sums[y, x, n] = sum over row, column and colour of
            source[stride * y + row, stride * x + column, colour] * weights[n, colour, row, column]

    The nine bytes of a row of weights are three quads, whose last three bytes weigh nothing. The source has a border of
    one pixel, above and left of which it begins; rows are read three bytes further.
    """
    reach = (HEIGHT - 1) * stride * SOURCE_ROW + 2 * SOURCE_ROW + (WIDTH - 1) * (stride * COLOURS) + STEM_QUADS * QUAD
    parameters = (
        *(HEIGHT, WIDTH, SOURCE_ROW, TARGET_ROW),
        Array("source", U8, extent=reach),
        Array("weights", S8, extent=Size.number(SIDE * STEM_QUADS * QUAD * panel)),
        Array("epilogue", F32, extent=Size.number(2 * pairs * panel)),
        Array("target", U8, extent=(HEIGHT - 1) * TARGET_ROW + WIDTH * panel, written=True),
    )
    return Kernel(f"stem_{stride}_{panel}_{pairs}", parameters, partial(_stem, stride, panel, pairs))


def _stem(
    stride: int,
    panel: int,
    pairs: int,
    code: Code,
    *,
    height: Value,
    width: Value,
    source_row: Value,
    target_row: Value,
    source: Pointer,
    weights: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    scales = _epilogue(epilogue, pairs, panel, panel, code.isa)
    for y in code.range(height):
        for x, pixels in tiles(code, width):
            sums = _accumulators(code, len(pixels), panel)
            for row in code.range(SIDE):
                for quad in code.range(STEM_QUADS):
                    matrix = _vectors(weights + (row * STEM_QUADS + quad) * (panel * QUAD), panel, code.isa)
                    for pixel, of_pixel in zip(pixels, sums, strict=True):
                        at = (y * stride + row) * source_row + (x + pixel) * (stride * COLOURS) + quad * QUAD
                        _add_products(of_pixel, [_broadcast_quad(source + at, code.isa)], [matrix], bounded=True)
            for pixel, of_pixel in zip(pixels, sums, strict=True):
                _requantize_to(target + (y * target_row + (x + pixel) * panel), of_pixel, scales)


@cache
def pointwise(panel: int, pairs: int, *, bounded: bool) -> Kernel:
    """1x1 convolution, `panel` channels at a time; it takes nine tenths of the networks' time.

        sums[y, x, n] = sum over k of source[y, x, k] * weights[n, k]

    The source's pixels follow one another without a border.
    """
    parameters = (
        *(HEIGHT, WIDTH, INPUTS, Size("outputs", multiple_of=panel), TARGET_ROW),
        Array("source", U8, extent=HEIGHT * WIDTH * INPUTS),
        Array("weights", S8, extent=INPUTS * OUTPUTS),
        Array("epilogue", F32, extent=OUTPUTS * (2 * pairs)),
        Array("target", U8, extent=(HEIGHT - 1) * TARGET_ROW + WIDTH * OUTPUTS, written=True),
    )
    name = f"pointwise_{panel}_{pairs}{_BOUND[bounded]}"
    return Kernel(name, parameters, partial(_pointwise, panel, pairs, bounded))


def _pointwise(
    panel: int,
    pairs: int,
    bounded: bool,
    code: Code,
    *,
    height: Value,
    width: Value,
    inputs: Value,
    outputs: Value,
    target_row: Value,
    source: Pointer,
    weights: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    columns = min(panel, code.isa.columns)
    for channel in code.range(0, outputs, panel):
        for column in code.range(0, panel, columns):
            scales = _epilogue(epilogue + (channel * (2 * pairs) + column), pairs, panel, columns, code.isa)
            matrix = weights + (channel * inputs + column * QUAD)
            for y in code.range(height):
                for x, pixels in tiles(code, width):
                    rows = [source + (y * width + x + pixel) * inputs for pixel in pixels]
                    sums = matrix_product(
                        code,
                        rows,
                        matrix,
                        inputs,
                        panel,
                        columns,
                        bounded=bounded,
                        next_weights=matrix + inputs * panel,
                    )
                    for pixel, of_pixel in zip(pixels, sums, strict=True):
                        to = y * target_row + (x + pixel) * outputs + channel + column
                        _requantize_to(target + to, of_pixel, scales)


def matrix_product(
    code: Code,
    rows: Sequence[Pointer],
    weights: Pointer,
    inputs: Value,
    panel: int,
    columns: int,
    quads_at_once: int = QUADS_AT_ONCE,
    *,
    bounded: bool = True,
    next_weights: Pointer | None = None,
) -> Panel:
    """Multiply rows of `inputs` bytes with the first columns of weights (inputs / 4, panel, 4).

        sums[row, n] = sum over quad and i of rows[row][4 * quad + i] * weights[quad, n, i]

    Other weights of this size, which are to be read next, are fetched into the second cache meanwhile.
    """
    sums = _accumulators(code, len(rows), columns)
    for first in code.range(0, inputs // QUAD, quads_at_once):
        quads = [first + number for number in range(quads_at_once)]
        matrix = [_vectors(weights + quad * (panel * QUAD), columns, code.isa) for quad in quads]
        if next_weights:
            size = quads_at_once * panel * QUAD
            (next_weights + first * (panel * QUAD)).prefetch(range(0, size, CACHE_LINE), cache_level=2)
        for row, of_row in zip(rows, sums, strict=True):
            _add_products(of_row, [_broadcast_quad(row + quad * QUAD, code.isa) for quad in quads], matrix, bounded)
    return sums


@cache
def linear(images: int, outputs: int) -> Kernel:
    """Multiply the maps of several images with the weights of a fully connected layer, to floats.

        target[image, n] = scale[n] * (sum over k of source[image, k] * weights[n, k]) + bias[n]

    The weights, larger than a cache, are read once for all images. The epilogue is one scale and bias for each output.
    """
    parameters = (
        *(INPUTS, Size("image_stride")),
        Array("source", U8, extent=Size("image_stride") * (images - 1) + INPUTS),
        Array("weights", S8, extent=INPUTS * outputs),
        Array("epilogue", F32, extent=Size.number(2 * outputs)),
        Array("target", F32, extent=Size.number(images * outputs), written=True),
    )
    return Kernel(f"linear_{images}_{outputs}", parameters, partial(_linear, images, outputs))


def _linear(
    images: int,
    outputs: int,
    code: Code,
    *,
    inputs: Value,
    image_stride: Value,
    source: Pointer,
    weights: Pointer,
    epilogue: Pointer,
    target: Pointer,
) -> None:
    lanes = code.isa.lanes
    rows = [source + image_stride * image for image in range(images)]
    for first in code.range(0, outputs, code.isa.columns):
        panel = weights + ((first - first % LINEAR_PANEL) * inputs + (first % LINEAR_PANEL) * QUAD)
        for image, sums in enumerate(matrix_product(code, rows, panel, inputs, LINEAR_PANEL, code.isa.columns)):
            for vector, one in enumerate(sums):
                at = first + vector * lanes
                scale, bias = epilogue.load(at, lanes), epilogue.load(at + outputs, lanes)
                target.store(code.fma(one.value.to(F32), scale, bias), at + outputs * image)


def requantize(sums: Value, epilogue: Sequence[Value]) -> Value:
    """Compute the larger of scale * sum + bias over the pairs of the epilogue, truncated to an integer."""
    values = sums.to(F32)
    first, *others = (
        sums.code.fma(values, scale, bias) for scale, bias in zip(epilogue[::2], epilogue[1::2], strict=True)
    )
    for other in others:
        first = first.max(other)
    return first.to(S32)


def _requantize_to(target: Pointer, sums: Sequence[Variable], epilogue: Sequence[Sequence[Value]]) -> None:
    """Store the bytes of a pixel's channels; `narrow` clamps them to 0 to 255."""
    results = [requantize(one.value, of_one) for one, of_one in zip(sums, zip(*epilogue, strict=True), strict=True)]
    target.store(target.code.isa.narrow(results))


def tiles(code: Code, width: Value) -> Iterator[tuple[Value, range]]:
    """Go along a row by tiles of pixels, then by single pixels: the loop's body is written twice."""
    tile = code.isa.tile
    rest = width - width % tile
    for x in code.range(0, rest, tile):
        yield x, range(tile)
    for x in code.range(rest, width):
        yield x, range(1)


def _accumulators(code: Code, pixels: int, panel: int) -> Panel:
    lanes = code.isa.lanes
    zero = code.constant(S32, 0, lanes)
    return [[code.variable(zero) for _ in range(panel // lanes)] for _ in range(pixels)]


def _vectors(weights: Pointer, columns: int, isa: InstructionSet) -> list[Value]:
    """Load the weights of one quad of inputs for so many channels."""
    return [weights.load(part, isa.vector_bytes) for part in range(0, columns * QUAD, isa.vector_bytes)]


def _broadcast_quad(source: Pointer, isa: InstructionSet) -> Value:
    return source.view(U32).load().splat(isa.lanes).view(U8)


def _add_products(
    sums: Sequence[Variable], quads: Sequence[Value], matrix: Sequence[Sequence[Value]], bounded: bool
) -> None:
    """Add the products of a pixel's quads and, for each of them, the vectors of weights of all channels."""
    for one, weights in zip(sums, zip(*matrix, strict=True), strict=True):
        one.value = quads[0].code.isa.dot(one.value, list(zip(quads, weights, strict=True)), bounded=bounded)


def _epilogue(start: Pointer, pairs: int, panel: int, columns: int, isa: InstructionSet) -> list[list[Value]]:
    """Load scales and biases in turn: for each number the vectors of the first columns of a panel."""
    vectors = range(0, columns, isa.lanes)
    return [[start.load(number * panel + first, isa.lanes) for first in vectors] for number in range(2 * pairs)]
