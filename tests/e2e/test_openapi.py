"""The OpenAPI document against a running server: nothing that it allows or forbids makes the server break its word."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as few
from tests.e2e.gateway_process import ADMIN, Gateway, gateway, upstream

from dynaroute_mcp.gateway.routes import OPERATIONS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]
schemathesis = pytest.importorskip("schemathesis", reason="it is for development only")

EXAMPLES = 6
"""Of each operation; `schemathesis run` takes more (see docs/gateway.md)."""
ADDRESSES = [(each.method, path) for each in OPERATIONS for path in (each.path, *each.aliases)]


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("openapi")
    with upstream() as told, gateway(folder, told.url, DYNAROUTE_ENCRYPTION_KEY="m" * 40) as running:
        yield running


@pytest.mark.parametrize(("method", "path"), ADDRESSES, ids=lambda each: each)
def test_every_operation_keeps_the_documents_word(at: Gateway, method: str, path: str) -> None:
    schema = schemathesis.openapi.from_url(f"{at.url}/openapi.json")
    operation = schema[path][method]
    headers = {"Authorization": f"Bearer {at.key() if path == '/v1/keys/verify' else ADMIN}"}

    @few(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:  # Any: a case of whatever library is installed
        case.call_and_validate(headers=headers)

    check()
