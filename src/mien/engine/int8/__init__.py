"""Run quantised layers: u8 activations times s8 weights, accumulated in s32 and requantised to u8.

`vnni` has the building blocks of the kernels; `convolutions` the layers that SFace and YuNet share; `quantize` makes
and packs their weights; `executor` lays out feature maps in memory and runs a network's kernels in one call.
"""

from mien.engine.int8.executor import int8_supported

__all__ = ["int8_supported"]
