"""The setting and the kernels name the same instruction sets."""

from __future__ import annotations

from mien.kernels.instruction_sets import AUTO, INSTRUCTION_SETS
from mien.settings import Processor


def test_every_instruction_set_can_be_named_in_the_settings() -> None:
    assert [one.value for one in Processor] == [AUTO, *(isa.name for isa in INSTRUCTION_SETS)]
