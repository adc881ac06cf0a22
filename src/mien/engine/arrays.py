"""What the steps of the engine hand to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB, (height, width, 3), or several, (n, height, width, 3)"""
Floats = NDArray[np.float32]
Network: TypeAlias = Callable[[Pixels], Floats]
"""n images of one size go in, (n, ...) comes out; may be called from many threads."""
