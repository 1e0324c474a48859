from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.examples import KEY, NOW, call

from dynaroute_mcp.catalog import Dialect
from dynaroute_mcp.errors import (
    ProviderContentBlocked,
    ProviderContextOverflow,
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderModelMissing,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderUnavailable,
)
from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.parsing import dump_json


def fail(
    status: int,
    document: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    api_key: str = KEY,
    dialect: Dialect = "openai",
) -> ProviderError:
    body = b"" if document is None else dump_json(document).encode()
    return failure.from_response(
        call(dialect, api_key=api_key), status=status, headers=headers or {}, body=body, now=NOW
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ProviderUnavailable),
        (307, ProviderUnavailable),
        (400, ProviderRefusedRequest),
        (401, ProviderKeyRejected),
        (402, ProviderQuotaExhausted),
        (403, ProviderKeyRejected),
        (404, ProviderModelMissing),
        (405, ProviderRefusedRequest),
        (408, ProviderUnavailable),
        (409, ProviderUnavailable),
        (413, ProviderRefusedRequest),
        (422, ProviderRefusedRequest),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderUnavailable),
        (529, ProviderUnavailable),
    ],
)
def test_a_bare_status_decides_the_class(status: int, kind: type[ProviderError]) -> None:
    error = fail(status)

    assert type(error) is kind
    assert (error.status, error.provider, error.model_id) == (status, "acme", "acme/model-1")


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (400, {"error": {"code": "context_length_exceeded"}}, ProviderContextOverflow),
        (400, {"error": {"type": "exceed_context_size_error", "code": 400}}, ProviderContextOverflow),
        (
            429,
            {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}},
            ProviderQuotaExhausted,
        ),
        (429, {"error": {"type": "exceeded_current_quota_error"}}, ProviderQuotaExhausted),
        (400, {"error": {"code": "Arrearage"}}, ProviderQuotaExhausted),
        (400, {"type": "error", "error": {"type": "billing_error"}}, ProviderQuotaExhausted),
        (400, {"error": {"code": "content_policy_violation"}}, ProviderContentBlocked),
        (400, {"error": {"code": "data_inspection_failed"}}, ProviderContentBlocked),
        (400, {"error": {"code": "model_decommissioned"}}, ProviderModelMissing),
        (403, {"error": {"code": "model_not_found"}}, ProviderModelMissing),
        (403, {"error": {"code": 403, "metadata": {"reasons": ["x"]}}}, ProviderContentBlocked),
        (
            400,
            {"error": {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}},
            ProviderKeyRejected,
        ),
        (400, [{"error": {"status": "INVALID_ARGUMENT"}}], ProviderRefusedRequest),
        (400, {"code": "invalid_api_key"}, ProviderKeyRejected),
        (503, {"error": {"code": "insufficient_quota"}}, ProviderUnavailable),
        (413, {"error": {"type": "tokens", "code": "rate_limit_exceeded"}}, ProviderRateLimited),
        (
            400,
            {
                "error": {
                    "message": "Failed to call a function. Please adjust your prompt.",
                    "type": "invalid_request_error",
                    "code": "tool_use_failed",
                    "failed_generation": '<function=message{"channel": "cli"}',
                }
            },
            ProviderGarbled,
        ),
        (400, {"error": {"code": "json_validate_failed"}}, ProviderGarbled),
        (
            429,
            {"error": {"message": "insufficient balance (1008)", "type": "insufficient_balance_error"}},
            ProviderQuotaExhausted,
        ),
        (
            400,
            {
                "error": {
                    "message": "Your organization must be verified to stream this model. Please go to: ...",
                    "type": "invalid_request_error",
                    "param": "stream",
                    "code": "unsupported_value",
                }
            },
            ProviderModelMissing,
        ),
        (400, {"error": {"param": "reasoning.summary", "code": "unsupported_value"}}, ProviderModelMissing),
        (400, {"error": {"param": "temperature", "code": "unsupported_value"}}, ProviderRefusedRequest),
    ],
)
def test_typed_fields_refine_what_the_status_says(
    status: int, document: object, kind: type[ProviderError]
) -> None:
    assert type(fail(status, document)) is kind


@pytest.mark.parametrize(
    "text", ["context_length_exceeded", "429 rate limit", "invalid api key", "prompt is too long"]
)
def test_the_words_of_a_message_decide_nothing(text: str) -> None:
    document = {"error": {"message": text, "type": "invalid_request_error"}}

    assert type(fail(400, document)) is ProviderRefusedRequest


LONG = "prompt is too long: 208310 tokens > 200000 maximum"
CLAUDE = {"type": "error", "error": {"type": "invalid_request_error", "message": LONG}}
TOO_LONG: Mapping[str, tuple[Dialect, object]] = {
    "anthropic: prompt": ("anthropic", CLAUDE),
    "anthropic: prompt and answer": (
        "anthropic",
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, "
                "decrease input length or `max_tokens` and try again",
            },
        },
    ),
    "gemini": (
        "gemini",
        {
            "error": {
                "code": 400,
                "message": "The input token count (3475108) exceeds the maximum number of tokens allowed (1048576).",
                "status": "INVALID_ARGUMENT",
            }
        },
    ),
    "deepseek": (
        "openai",
        {
            "error": {
                "message": "This model's maximum context length is 131072 tokens. However, you requested 131134 "
                "tokens (122942 in the messages, 8192 in the completion). Please reduce the length of the "
                "messages or completion.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_request_error",
            }
        },
    ),
    "openai without its code": (
        "openai",
        {
            "error": {
                "message": "This model's maximum context length is 4097 tokens. However, your messages resulted in "
                "4159 tokens. Please reduce the length of the messages.",
                "type": "invalid_request_error",
            }
        },
    ),
    "openrouter": (
        "openai",
        {
            "error": {
                "message": "This endpoint's maximum context length is 131072 tokens. However, you requested about "
                "141607 tokens (10535 of text input, 131072 in the output). Please reduce the length of either "
                'one, or use the "middle-out" transform to compress your prompt automatically.',
                "code": 400,
                "metadata": {"provider_name": "Chutes"},
            }
        },
    ),
    "vllm": (
        "openai",
        {
            "object": "error",
            "message": "This model's maximum context length is 131072 tokens. However, you requested 156632 tokens "
            "(152536 in the messages, 4096 in the completion). Please reduce the length of the messages or "
            "completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "vllm of 2025-10": (
        "openai",
        {
            "error": {
                "message": "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context "
                "length is 4096 tokens and your request has 2778 input tokens (8000 > 4096 - 2778). None",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        },
    ),
    "xai": (
        "openai",
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
        },
    ),
}
"""The sentences as users have reported them; `sentences` names where and when."""


@pytest.mark.parametrize(("dialect", "document"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_by_its_providers_own_sentence(
    dialect: Dialect, document: object
) -> None:
    error = fail(400, document, dialect=dialect)

    assert type(error) is ProviderContextOverflow
    assert "208310" not in str(error)


def claude(message: object, kind: object = "invalid_request_error") -> object:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("status", "dialect", "document"),
    [
        (413, "anthropic", CLAUDE),
        (422, "anthropic", CLAUDE),
        (400, "openai", CLAUDE),
        (400, "gemini", CLAUDE),
        (400, "anthropic", TOO_LONG["gemini"][1]),
        (400, "anthropic", claude(LONG, "not_found_error")),
        (400, "anthropic", claude(LONG, None)),
        (400, "anthropic", claude(LONG, ["invalid_request_error"])),
        (400, "anthropic", claude(f"messages.0: you wrote '{LONG}'")),
        (400, "anthropic", claude(f"{LONG}; messages.0.content: this field is required")),
        (400, "anthropic", claude(f"{LONG}\n")),
        (400, "anthropic", claude("prompt is too long")),
        (400, "anthropic", claude("prompt is too long: many tokens > 200000 maximum")),
        (400, "anthropic", claude(LONG.replace("208310", "9" * 400))),
        (400, "anthropic", claude(None)),
        (400, "anthropic", claude([LONG])),
        (400, "sandbox", CLAUDE),
    ],
)
def test_no_other_error_is_taken_for_a_prompt_that_is_too_long(
    status: int, dialect: Dialect, document: object
) -> None:
    assert type(fail(status, document, dialect=dialect)) is ProviderRefusedRequest


BROKE = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
SPENT = "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."
XAI_KEY = "Incorrect API key provided: sk***YA. You can obtain an API key from https://console.x.ai."
XAI_SPENT = (
    "Your team c03b3526-bed4-49ed-8bd7-f20ef8830383 has either used all available credits or reached its monthly "
    "spending limit. To continue making API requests, please purchase more credits or raise your spending limit."
)
ZAI_SPENT = "Insufficient balance or no resource package. Please recharge."
XAI_UNSAFE = (
    "Content violates usage guidelines. Team: 5d7c-1, API key ID: 8e1f-2, Model: grok-4-0709, "
    "Failed check: SAFETY_CHECK_TYPE_BIO"
)


@pytest.mark.parametrize(
    ("status", "dialect", "document", "kind"),
    [
        (400, "anthropic", claude(BROKE), ProviderQuotaExhausted),
        (400, "anthropic", claude(SPENT), ProviderQuotaExhausted),
        (400, "anthropic", claude(f"{BROKE} messages.0: wrong"), ProviderRefusedRequest),
        (400, "openai", claude(BROKE), ProviderRefusedRequest),
        (
            400,
            "gemini",
            {
                "error": {
                    "code": 400,
                    "message": "User location is not supported for the API use.",
                    "status": "FAILED_PRECONDITION",
                }
            },
            ProviderKeyRejected,
        ),
        (
            400,
            "openai",
            {"code": "Client specified an invalid argument", "error": XAI_KEY},
            ProviderKeyRejected,
        ),
        (
            403,
            "openai",
            {"code": "The caller does not have permission to execute the operation", "error": XAI_UNSAFE},
            ProviderContentBlocked,
        ),
        (400, "openai", {"error": XAI_UNSAFE}, ProviderRefusedRequest),
        (
            429,
            "openai",
            {"code": "Some resource has been exhausted", "error": XAI_SPENT},
            ProviderQuotaExhausted,
        ),
        (429, "openai", {"error": {"code": "1113", "message": ZAI_SPENT}}, ProviderQuotaExhausted),
        (429, "openai", {"error": {"code": "1302", "message": "High concurrency"}}, ProviderRateLimited),
        (403, "openai", {"error": "Your team is blocked."}, ProviderKeyRejected),
    ],
)
def test_trouble_with_the_account_is_known_by_its_providers_own_sentence(
    status: int, dialect: Dialect, document: object, kind: type[ProviderError]
) -> None:
    error = fail(status, document, dialect=dialect)

    assert type(error) is kind
    assert not {"credit", "2026-04-01", "sk***YA", "5d7c-1"} & set(str(error).replace(",", "").split())


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=30), usegmt=True)}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:09 -0000"}, 9.0),
        ({"retry-after": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, 0.0),
        ({"retry-after": "86400000"}, 86_400.0),
        ({"retry-after-ms": "1e300"}, 86_400.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Mon, 99 Nov 2026 99:99:99 GMT"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: Mapping[str, str], expected_s: float | None) -> None:
    assert fail(429, headers=headers).retry_after_s == expected_s


@pytest.mark.parametrize(
    ("delay", "expected_s"),
    [("2s", 2.0), ("2.5s", 2.5), ("999999s", 86_400.0), ("-2s", None), ("soon", None), (2, None)],
)
def test_gemini_puts_the_wait_into_the_body(delay: object, expected_s: float | None) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    error = fail(429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [info]}})

    assert (type(error), error.retry_after_s) == (ProviderRateLimited, expected_s)


def test_a_message_helps_without_the_providers_words() -> None:
    document = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}

    error = fail(401, document)

    assert str(error) == (
        "Acme gave status 401 (invalid_api_key) for acme/model-1: check the provider's API key and its permissions"
    )


@pytest.mark.parametrize("field", ["code", "type", "status"])
@pytest.mark.parametrize("echo", [KEY, f"bad_{KEY}", "secretkey", "the_secretkey", "A long, human sentence."])
def test_a_key_echoed_in_a_code_field_does_not_come_out(field: str, echo: str) -> None:
    error = fail(401, {"error": {field: echo}}, api_key="secretkey" if "secret" in echo else KEY)

    assert str(error).startswith("Acme gave status 401 for acme/model-1:")


def test_a_redirect_says_why_it_is_not_followed() -> None:
    assert "redirects are not followed" in str(fail(302))


@pytest.mark.parametrize(
    ("document", "kind", "status"),
    [
        ({"type": "error", "error": {"type": "overloaded_error"}}, ProviderUnavailable, 529),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, ProviderRateLimited, 429),
        ({"type": "error", "error": {"type": "invalid_request_error"}}, ProviderRefusedRequest, 400),
        ({"error": {"code": 502, "message": "upstream"}}, ProviderUnavailable, 502),
        ({"error": {"code": 429}}, ProviderRateLimited, 429),
        ({"error": {"code": 200}}, ProviderUnavailable, None),
        ({"error": {"code": True}}, ProviderUnavailable, None),
        ({"error": {"status": "RESOURCE_EXHAUSTED"}}, ProviderRateLimited, 429),
        ({"error": "out of memory"}, ProviderUnavailable, None),
        ({"error": {"code": "context_length_exceeded"}}, ProviderContextOverflow, None),
        ("nonsense", ProviderUnavailable, None),
    ],
)
def test_an_error_inside_a_success_gets_the_class_of_its_type(
    document: object, kind: type[ProviderError], status: int | None
) -> None:
    error = failure.in_band(call(), document)

    assert (type(error), error.status) == (kind, status)


@given(
    status=st.integers(300, 599),
    document=st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=9), st.just("context_length_exceeded")),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["error", "code", "type", "details", "reason", "metadata"]), inner
            ),
        ),
    ),
)
def test_any_error_body_becomes_one_of_our_errors(status: int, document: object) -> None:
    assert isinstance(fail(status, document), ProviderError)
    assert isinstance(failure.in_band(call(), document), ProviderError)


def test_arguments_nested_too_deeply_to_be_written_are_garbled() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(ProviderGarbled):
        failure.json_text(call(), deep)


@pytest.mark.parametrize(
    ("param", "shown"),
    [
        ("messages[0].content", " (invalid_request_error, parameter messages[0].content)"),
        ("temperature", " (invalid_request_error, parameter temperature)"),
        (KEY, " (invalid_request_error)"),
        ("A sentence of theirs", " (invalid_request_error)"),
        ("a" * 61, " (invalid_request_error)"),
        (None, " (invalid_request_error)"),
    ],
)
def test_the_parameter_at_fault_is_named(param: object, shown: str) -> None:
    error = fail(400, {"error": {"type": "invalid_request_error", "param": param}})

    assert str(error).startswith(f"Acme gave status 400{shown} for")


@pytest.mark.parametrize(
    ("limit_s", "said"), [(0.999978, "1 s"), (719.9998, "720 s"), (0.05, "0.05 s"), (0.001, "0.001 s")]
)
def test_a_time_out_says_the_limit_that_was_asked_for(limit_s: float, said: str) -> None:
    error = failure.timed_out(call(), "first token", limit_s)

    assert f"took more than {said} for acme/model-1 (first token)" in str(error)
