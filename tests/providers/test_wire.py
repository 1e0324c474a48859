from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest
from tests.providers.examples import KEY, NOW, QUICK, FakeProvider, answers, call
from tests.providers.mock_client import Handler, Mocked, Pieces

from dynaroute_mcp.errors import (
    ConfigurationInvalid,
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.providers import wire as wires
from dynaroute_mcp.providers.base import Call, Clocks, Outgoing
from dynaroute_mcp.providers.client import BadCompression, ClientFault, ConnectTimedOut, Inbound, Outbound
from dynaroute_mcp.providers.wire import Wire, WireReply, check_base_url

OUT = Outgoing(path="/chat", headers={"authorization": f"Bearer {KEY}"}, body={"text": "hé\ud800"})


async def post(provider: FakeProvider, one: Call | None = None, outgoing: Outgoing = OUT) -> WireReply:
    async with provider.wire() as wire:
        return await wire.post_json(one or call(), outgoing)


async def failing(handler: Handler, one: Call | None = None) -> ProviderError:
    transport = Mocked(handler)
    async with Wire.open(now=lambda: NOW, transport=transport) as wire:
        with pytest.raises(ProviderError) as caught:
            await wire.post_json(one or call(), OUT)
    return caught.value


def dripping(interval_s: float) -> httpx2.Response:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await anyio.sleep(interval_s)

    return httpx2.Response(200, stream=Pieces(drip()))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "https://api.example.com:8443",
        "http://localhost:11434/v1",
        "http://127.0.0.1:9",
        "http://127.8.8.8",
        "http://[::1]:80/x",
    ],
)
def test_an_address_that_a_key_may_be_sent_to_is_accepted(url: str) -> None:
    assert check_base_url(url + "/") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "https://user:pass@api.example.com",
        "https://user@api.example.com",
        "https://api.example.com/v1?key=1",
        "https://api.example.com/#x",
        "ftp://api.example.com",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
        "https://host:port",
        "api.example.com",
        "",
    ],
)
def test_any_other_address_is_a_fault_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        check_base_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1.1:8443",
        "169.254.169.254.",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.254.0251.0xfe",
        "169.254.43518",
        "\uff11\uff16\uff19\u3002254.169.254",
        "100.100.100.200",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
    ],
)
def test_no_key_is_sent_to_a_clouds_metadata_service_however_its_address_is_written(host: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"base_url must not be .*link-local"):
        check_base_url(f"https://{host}/v1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "10.0.0.5",
        "192.168.1.20:8080",
        "172.16.3.4",
        "100.64.0.7",
        "[fd12:3456::1]",
        "[::ffff:10.0.0.5]",
        "models.lan",
        "169.254.169.254.example.com",
        f"{'a' * 70}.example",
    ],
)
def test_loopback_and_private_networks_are_where_local_models_live(host: str) -> None:
    assert check_base_url(f"https://{host}/v1") == f"https://{host}/v1"


async def test_a_request_carries_the_key_in_a_header_and_valid_text_in_its_body() -> None:
    provider = answers({"ok": True})

    reply = await post(provider)

    (sent,) = provider.sent
    assert reply.document == {"ok": True}
    assert (sent.method, sent.url) == ("POST", "https://api.example.com/v1/chat")
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body == {"text": "hé?"}


async def test_an_address_that_is_not_allowed_is_never_called() -> None:
    provider = answers({})

    with pytest.raises(ConfigurationInvalid, match="base URL of acme must use https"):
        await post(provider, call(base_url="http://api.example.com"))

    assert provider.sent == []


@pytest.mark.parametrize("key", ["", "two words", "new\nline", "schlüssel", "tab\t"])
async def test_a_key_that_is_no_key_is_rejected_without_being_shown(key: str) -> None:
    provider = answers({})

    with pytest.raises(ProviderKeyRejected) as caught:
        await post(provider, call(api_key=key))

    assert provider.sent == []
    assert not key or key not in str(caught.value)


async def test_a_body_that_can_not_be_written_is_refused() -> None:
    with pytest.raises(ProviderRefusedRequest):
        await post(answers({}), outgoing=Outgoing(path="/", headers={}, body={"a": float("nan")}))


@pytest.mark.parametrize(
    "content", [b"", b"  \n", b"<html>502</html>", b'{"choices": [', b"[" * 100_000, b'{"a": ' * 100_000]
)
async def test_a_success_that_is_no_json_is_garbled(content: bytes) -> None:
    with pytest.raises(ProviderGarbled):
        await post(FakeProvider(httpx2.Response(200, content=content)))


async def test_a_body_beyond_the_bound_is_garbled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "MAX_BODY_BYTES", 1_000)

    with pytest.raises(ProviderGarbled, match="longer than 1000 bytes"):
        await post(FakeProvider(httpx2.Response(200, content=b" " * 1_001)))


async def test_an_error_body_is_read_only_so_far() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    stream = Pieces(endless())

    with pytest.raises(ProviderRateLimited) as caught:
        await post(FakeProvider(httpx2.Response(429, stream=stream, headers={"retry-after": "2"})))

    assert caught.value.retry_after_s == 2.0
    assert stream.closed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    response = httpx2.Response(status, headers={"location": "https://thief.example/"})
    provider = FakeProvider(response)

    with pytest.raises(ProviderUnavailable):
        await post(provider)

    assert len(provider.sent) == 1


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ClientFault("ReadError"), ProviderUnavailable),
        (ConnectTimedOut("ConnectionTimeoutError"), ProviderTimedOut),
        (BadCompression("ClientPayloadError"), ProviderGarbled),
    ],
)
async def test_a_fault_of_the_client_becomes_ours(raised: ClientFault, kind: type[ProviderError]) -> None:
    class Faulty:
        async def send(self, request: Outbound) -> Inbound:
            raise raised

    async with Wire.open(now=lambda: NOW, transport=Faulty()) as wire:
        with pytest.raises(ProviderError) as caught:
            await wire.post_json(call(), OUT)
        assert await wire.get_json("https://api.example.com/", timeout_s=1) is None

    assert type(caught.value) is kind
    assert caught.value.status is None


async def test_silence_ends_with_the_total_clock() -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(2):
        error = await failing(hang, call(clocks=QUICK))

    assert isinstance(error, ProviderTimedOut)
    assert "0.05 s" in str(error)


async def test_a_byte_now_and_then_does_not_defeat_the_total_clock() -> None:
    with anyio.fail_after(2):
        error = await failing(lambda _: dripping(0.01), call(clocks=QUICK))

    assert isinstance(error, ProviderTimedOut)


async def test_a_cancelled_call_closes_its_connection() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b" "
        await anyio.sleep_forever()

    stream = Pieces(endless())
    provider = FakeProvider(httpx2.Response(200, stream=stream))

    with anyio.move_on_after(0.02):
        await post(provider, call(clocks=Clocks()))

    assert stream.closed


async def test_small_documents_are_fetched_and_any_failure_is_none() -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        match request.url.path:
            case "/ok":
                return httpx2.Response(200, json={"method": request.method})
            case "/gone":
                return httpx2.Response(404, json={})
            case "/html":
                return httpx2.Response(200, content=b"<html>")
            case "/broken":
                raise httpx2.ReadError("x")
            case _:
                await anyio.sleep_forever()
                raise AssertionError

    base = "http://127.0.0.1:1"
    async with Wire.open(now=lambda: NOW, transport=Mocked(hang)) as wire:
        assert await wire.get_json(f"{base}/ok", timeout_s=1) == {"method": "GET"}
        assert await wire.get_json(f"{base}/ok", timeout_s=1, post={}) == {"method": "POST"}
        for path in ("/gone", "/html", "/broken", "/hang"):
            assert await wire.get_json(base + path, timeout_s=0.02) is None
        with pytest.raises(ConfigurationInvalid):
            await wire.get_json("http://elsewhere.example/", timeout_s=1)
