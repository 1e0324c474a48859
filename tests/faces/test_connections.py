"""How many clients are let in: as many as there are file descriptors for; and systems that tell nothing of these."""

import sys
from collections.abc import Callable

import pytest

from dynaroute_mcp.gateway.connections import MAX_CONNECTIONS, let_in
from dynaroute_mcp.gateway.metrics import Metrics

resource = pytest.importorskip("resource", reason="POSIX only")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[int]]:
    """Set what the system says of its limits; what is asked of it is kept."""

    def say(soft: int, hard: int) -> list[int]:
        now = [soft, hard]

        def raised(_kind: int, wanted: tuple[int, int]) -> None:
            if wanted[0] > hard != resource.RLIM_INFINITY:
                raise ValueError("not allowed")
            now[:] = wanted

        monkeypatch.setattr(resource, "getrlimit", lambda _kind: tuple(now))
        monkeypatch.setattr(resource, "setrlimit", raised)
        return now

    return say


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "clients"),
    [
        (64, 64, 64, 16),
        (8, 8, 8, 4),
        (256, 1_024, 1_024, 496),
        (1_024, 1_000_000, 2 * MAX_CONNECTIONS + 32, MAX_CONNECTIONS),
        (1_024, resource.RLIM_INFINITY, 2 * MAX_CONNECTIONS + 32, MAX_CONNECTIONS),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, MAX_CONNECTIONS),
        (1_000_000, 1_000_000, 1_000_000, MAX_CONNECTIONS),
    ],
)
def test_descriptors_are_asked_for_and_divided(
    limits: Callable[[int, int], list[int]], soft: int, hard: int, raised: int, clients: int
) -> None:
    now = limits(soft, hard)

    assert let_in() == clients
    assert now[0] == raised


def test_a_system_that_allows_less_than_it_says_is_taken_at_what_it_does(
    limits: Callable[[int, int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kind: int, _wanted: tuple[int, int]) -> None:
        raise OSError("no")

    limits(132, 10_000)
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert let_in() == 50


def test_where_there_are_no_such_limits_all_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)

    assert let_in() == MAX_CONNECTIONS


def test_where_the_system_tells_no_peak_of_memory_the_other_figures_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Metrics(lambda: 0.0).text()
    monkeypatch.setitem(sys.modules, "resource", None)

    without = Metrics(lambda: 0.0).text()

    assert "dynaroute_peak_memory_bytes" in before
    assert "dynaroute_peak_memory_bytes" not in without
    assert "dynaroute_requests_running 0\n" in without
