"""Kernels are tested with every instruction set: those of this processor, and ARM's where they can be emulated."""

from __future__ import annotations

import pytest

from mien.kernels.instruction_sets import InstructionSet, available
from tests.kernels.emulated import emulated_sets


@pytest.fixture(
    params=[*available(), *(pytest.param(isa, marks=pytest.mark.slow) for isa in emulated_sets())],
    ids=lambda isa: isa.name,
)
def any_isa(request: pytest.FixtureRequest) -> InstructionSet:
    """Each instruction set that this machine has or can emulate."""
    found: InstructionSet = request.param
    return found
