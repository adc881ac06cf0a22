from __future__ import annotations

from mien.engine.context import EngineContext


def test_a_caller_is_alone_until_another_comes():
    one = EngineContext(3)
    with one.track_call():
        assert one.is_idle()
        with one.track_call():
            assert not one.is_idle()
    assert (one.threads, one.is_idle()) == (3, True)
