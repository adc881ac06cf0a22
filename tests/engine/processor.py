"""Which tests this processor can run."""

from __future__ import annotations

import pytest

from mien.engine.int8 import int8_supported

with_vnni = pytest.mark.skipif(not int8_supported(), reason="needs a processor with AVX-512 VNNI")
