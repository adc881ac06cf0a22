"""SFace in whole numbers: the network that describes a face, in loops of our own for processors that have VNNI.

`network` is the way in. Before it, once: layers -> counted -> packing. The kernels: words, then the layers' (ends,
depthwise, pointwise), then all in one (whole), which follows the table of a program.
"""

from mien.engine.sface.network import SFace, prepare, suits_processor
from mien.engine.sface.packing import LAYOUT

__all__ = ["LAYOUT", "SFace", "prepare", "suits_processor"]
