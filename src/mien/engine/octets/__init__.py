"""Layers of networks in whole numbers: bytes by bytes, summed up in 32 bits, and back to bytes.

`words` has what all kernels say; `first`, `pointwise` and `depthwise` are the layers that SFace and YuNet share,
`counting` and `packing` make their weights; `follow` runs one kernel after another as a table says, in one call.
"""

from mien.engine.octets.executor import suits_processor

__all__ = ["suits_processor"]
