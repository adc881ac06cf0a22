"""YuNet in whole numbers: the network that finds faces, in loops of our own for processors that have VNNI.

`network` is the way in. Before it, once: graph -> counted; then a program for each size of canvas.
"""

from mien.engine.yunet.program import YuNet

__all__ = ["YuNet"]
