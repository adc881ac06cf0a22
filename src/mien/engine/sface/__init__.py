"""Embed aligned faces with SFace in int8, by custom JIT kernels for processors with VNNI.

`network` is the entry point; `quantize` prepares the weights once, `program` packs them and orders the kernel calls.
"""

from mien.engine.sface.network import SFace, prepare
from mien.engine.sface.program import LAYOUT

__all__ = ["LAYOUT", "SFace", "prepare"]
