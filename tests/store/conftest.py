import pytest

pytest.register_assert_rewrite(
    "tests.store.conformance", "tests.store.conformance_keys", "tests.store.conformance_reading"
)
