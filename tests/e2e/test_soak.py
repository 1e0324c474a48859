"""The soak of `benchmarks/soak.py`, as short as a test may be."""

import pytest
from benchmarks.soak import soak

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


async def test_a_soak_loses_nothing_and_leaves_nothing_behind() -> None:
    report = await soak(calls=300, workers=16)

    assert report.faults == []
    assert report.answers[0] > 250
    assert report.retries > 0
