"""SFace in whole numbers: the network that describes a face, in loops of our own for processors that have VNNI.

`network` is the way in. Before it, once: layers -> counted -> packing. Its kernels are those that it shares with YuNet,
`block`, and `last`; a `program` says in which order.
"""

from mien.engine.sface.network import SFace, prepare
from mien.engine.sface.program import LAYOUT

__all__ = ["LAYOUT", "SFace", "prepare"]
