"""Detect faces with YuNet in int8, by custom JIT kernels for processors with VNNI.

`program` is the entry point; `graph` reads and `quantize` quantises the layers once, then there is a program for each
canvas size.
"""

from mien.engine.yunet.program import YuNet

__all__ = ["YuNet"]
