from __future__ import annotations

from mien.security.rate_limit import TokenBucket


def test_a_bucket_holds_the_calls_of_one_burst_and_fills_at_the_rate() -> None:
    now = 0.0
    bucket = TokenBucket(rate=1, burst_seconds=5, clock=lambda: now)
    assert [bucket.take() for _ in range(7)] == [0, 0, 0, 0, 0, 1, 2]
    now = 1.0
    assert [bucket.take() for _ in range(2)] == [0, 1]
    now = 100.0
    assert [bucket.take() for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_a_rate_below_one_call_per_burst_still_grants_a_call() -> None:
    now = 0.0
    bucket = TokenBucket(rate=0.1, burst_seconds=1, clock=lambda: now)
    assert [bucket.take() for _ in range(2)] == [0, 1]
    now = 10.0
    assert bucket.take() == 0
