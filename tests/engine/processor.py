"""Which tests this processor can run."""

from __future__ import annotations

import pytest

from mien.engine.octets import suits_processor

with_vnni = pytest.mark.skipif(not suits_processor(), reason="this processor has no VNNI")
