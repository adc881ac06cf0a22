"""Some faces go in, their vectors come out: all layers in one call.

One call, because a thread that has left the interpreter may wait for it longer than a layer takes. A block is a
depthwise and a pointwise layer; what lies between them stays in the core's nearest memory, some rows at a time.
"""

from __future__ import annotations

from mien.engine.sface.depthwise import DEPTHWISE
from mien.engine.sface.ends import FIRST, LAST
from mien.engine.sface.pointwise import POINTWISE
from mien.native.emit import I8, I64, POINTER, VOID, Builder, Value, array, load, loop, place
from mien.native.machine import Kernel

WORDS = 15
WAYS = tuple(DEPTHWISE)


def _whole(b: Builder, *arguments: Value) -> None:
    table, blocks, images, scratch, between, vectors = arguments
    with loop(b, I64(0), images) as image:
        _first(b, _words(b, table, I64(0)), image, scratch)
        with loop(b, I64(1), b.add(blocks, I64(1))) as number:
            _block(b, _words(b, table, number), image, scratch, between)
    _last(b, _words(b, table, b.add(blocks, I64(1))), images, scratch, vectors)
    b.ret_void()


def _words(b: Builder, table: Value, number: Value) -> list[Value]:
    row = place(b, table, array(I64, WORDS), number)
    return [load(b, row, I64, word) for word in range(WORDS)]


def _first(b: Builder, words: list[Value], image: Value, scratch: Value) -> None:
    pixels, size, row, side, weights, lines, target, target_row, *_ = words
    source = place(b, scratch, I8, b.add(pixels, b.mul(image, size)))
    b.call(
        b.module.get_global(FIRST.name),
        [source, row, side, side, *_addresses(b, weights, lines), place(b, scratch, I8, target), target_row],
    )


def _block(b: Builder, words: list[Value], image: Value, scratch: Value, between: Value) -> None:
    way, source, step, row, inputs, side, rows, *constants, target, size, target_row, outputs = words
    weights, lines, next_weights, next_lines = _addresses(b, *constants)
    target = b.add(target, b.mul(image, size))
    with loop(b, I64(0), b.udiv(side, rows)) as part:
        y = b.mul(part, rows)
        above = place(b, scratch, I8, b.add(source, b.mul(y, step)))
        for number, kernel in enumerate(DEPTHWISE.values()):
            with b.if_then(b.icmp_signed("==", way, I64(number))):
                taken = [above, row, inputs, side, rows, weights, lines, between]
                b.call(b.module.get_global(kernel.name), taken)
        below = place(b, scratch, I8, b.add(target, b.mul(y, target_row)))
        taken = [between, inputs, side, rows, next_weights, outputs, next_lines, below, target_row]
        b.call(b.module.get_global(POINTWISE.name), taken)


def _last(b: Builder, words: list[Value], images: Value, scratch: Value, vectors: Value) -> None:
    source, inputs, *constants = words[:4]
    taken = [place(b, scratch, I8, source), inputs, *_addresses(b, *constants), vectors]
    for number, kernel in LAST.items():
        with b.if_then(b.icmp_signed("==", images, I64(number))):
            b.call(b.module.get_global(kernel.name), taken)


def _addresses(b: Builder, *words: Value) -> list[Value]:
    return [b.inttoptr(word, POINTER) for word in words]


WHOLE = Kernel("whole", VOID, (POINTER, I64, I64, POINTER, POINTER, POINTER), _whole)
"""The table and its number of blocks; how many images; a thread's maps, its room between two layers; vectors."""
KERNELS = (FIRST, *DEPTHWISE.values(), POINTWISE, *LAST.values(), WHOLE)
