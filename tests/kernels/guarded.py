"""Memory between pages that nobody may touch: a kernel that leaves its arrays ends the test process at once."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE
_NO_ACCESS = 0
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(values: np.ndarray, *, at_end: bool) -> np.ndarray:
    """Copy an array to memory whose neighbouring pages are closed; it ends, or begins, where one of them does."""
    pages = -(-max(values.nbytes, 1) // PAGE)
    whole = mmap.mmap(-1, (pages + 2) * PAGE)
    everything = np.frombuffer(whole, np.uint8)
    for start in (0, (pages + 1) * PAGE):
        assert _LIBC.mprotect(everything.ctypes.data + start, PAGE, _NO_ACCESS) == 0
    start = (pages + 1) * PAGE - values.nbytes if at_end else PAGE
    copy = everything[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy
