"""The stdio process: clean pipes, clean ends, and nothing lost in between."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.stdio_process import StdioServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".dynaroute").mkdir()
    (tmp_path / ".dynaroute" / "config.yaml").write_text("discover_local: false\n", encoding="utf-8")
    return tmp_path


def alive(process: Path) -> bool:
    try:
        return "State:\tZ" not in (process / "status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_newcomer_without_any_key_gets_an_honest_answer(folder: Path) -> None:
    with StdioServer(folder) as server:
        about = server.initialize()["result"]["serverInfo"]
        routed = server.call("route_prompt", prompt="Write a Python quicksort")["structuredContent"]
        summary = server.call("get_usage_summary")["structuredContent"]

    assert (about["name"], about["title"]) == ("dynaroute", "DynaRoute")
    assert (routed["sandbox"], routed["provider"], routed["recorded"]) == (True, "sandbox", True)
    assert "simulated" in routed["response"]
    assert (summary["total_requests"], summary["sandbox"]) == (1, True)


def test_stdout_holds_json_rpc_and_nothing_else(folder: Path) -> None:
    with StdioServer(folder, PYTHONWARNINGS="always", PYTHONVERBOSE="") as server:
        server.initialize()
        for tool in ("list_models", "get_subscription", "get_usage_summary", "no_such_tool"):
            server.call(tool)
        server.write(b"this is not json\n")
        server.write(b'{"jsonrpc":"2.0","id":77,"method":"ping","params":{"x":"\xff\xfe"}}\n')
        server.write(b'{"jsonrpc":"2.0","id":78,"method":"ping","params":{"x":"\\ud83d"}}\n')
        server.call("classify_prompt", prompt="still there?")
        rest = server.rest()

    lines = [*server.lines, *rest.splitlines()]
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)


@pytest.mark.parametrize("number", [None, 1.5, "x" * 1_000_000])
def test_odd_request_ids_do_no_harm(folder: Path, number: object) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        server.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode() + b"\n")
        after = server.call("classify_prompt", prompt="still there?")

    assert after["structuredContent"]["level"] >= 1


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("classify_prompt", r'{"prompt": "cut within an emoji \ud83d"}', "Miscellaneous"),
        ("list_api_keys", r'{"user_id": "\udc00"}', "has no keys"),
        ("calculate_cost", f'{{"model_name": "o3", "prompt_tokens": {"9" * 5000}}}', "finite"),
    ],
    ids=["a-prompt", "a-name", "a-number"],
)
def test_what_json_allows_and_few_parsers_take_is_answered(
    folder: Path, tool: str, arguments: str, words: str
) -> None:
    params = f'{{"name":"dynaroute_{tool}","arguments":{arguments}}}'
    line = f'{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{params}}}'
    with StdioServer(folder) as server:
        server.initialize()
        server.write(line.encode() + b"\n")
        while (answer := server.read()).get("id") != 9:
            pass

    assert words in str(answer["result"])


def test_two_requests_with_one_id_are_both_survived(folder: Path) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        for _ in range(2):
            server.send("tools/call", {"name": "dynaroute_list_models", "arguments": {}}, number=500)
        after = server.call("classify_prompt", prompt="still there?")

    assert not after.get("isError")


def test_ten_megabytes_on_one_line_are_answered_in_seconds(folder: Path) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        server.call("classify_prompt", prompt="warm up")
        started = time.monotonic()
        result = server.call("route_prompt", prompt="a" * 10_000_000)
        passed_s = time.monotonic() - started

    assert result["content"][0]["text"]
    assert passed_s < 10  # three seconds on a quiet machine


def test_the_end_of_input_ends_the_process(folder: Path) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        server.call("classify_prompt", prompt="Hello")
        server.rest()

        assert server.process.wait(5) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("warm", [False, True], ids=["idle", "with-an-open-core"])
def test_a_signal_ends_the_process_and_loses_nothing(
    folder: Path, number: signal.Signals, *, warm: bool
) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        key = (
            server.call("generate_api_key", user_id="alice")["structuredContent"]["api_key"] if warm else None
        )
        server.process.send_signal(number)

        assert server.process.wait(2) == 128 + number  # well before the timer that forces it
    if key is not None:
        with StdioServer(folder) as server:
            server.initialize()
            assert server.call("verify_api_key", api_key=key)["structuredContent"]["valid"] is True


def test_claude_codes_way_to_end_a_server_ends_it_cleanly(folder: Path) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        server.call("route_prompt", prompt="Hello")
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(2) in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def test_calls_that_were_answered_before_a_kill_are_in_the_books(folder: Path) -> None:
    with StdioServer(folder) as server:
        server.initialize()
        for number in range(10):
            server.call("route_prompt", prompt=f"Hello {number}")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(5)
    with StdioServer(folder) as server:
        server.initialize()
        summary = server.call("get_usage_summary")["structuredContent"]

    assert summary["total_requests"] == 10


def rest(process: Path) -> None:
    """Wait until a process has started: until it has used time, and then none for a while."""
    spent = -1
    while (now := int((process / "stat").read_text().rpartition(")")[2].split()[11])) != spent or now < 10:
        spent = now
        time.sleep(0.5)  # long enough that a process at work has used time


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks the process up in /proc")
def test_the_process_goes_when_its_client_died_and_left_the_pipe_open(folder: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "server = [sys.executable, '-m', 'dynaroute_mcp']\n"
        "print(subprocess.Popen(server, stdin=int(sys.argv[1]), stdout=subprocess.DEVNULL).pid, flush=True)\n"
        "sys.stdin.readline()\n"
    )
    env = {**os.environ, "HOME": str(folder), "DYNAROUTE_DATABASE": str(folder / "d.db")}
    read, write = os.pipe()
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(read)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        pass_fds=(read,),
    )
    assert client.stdin is not None
    assert client.stdout is not None
    server = Path("/proc") / client.stdout.readline().decode().strip()
    rest(server)  # what it notices is that its parent changes, so it has to be up before
    client.communicate(b"\n")

    ends_at = time.monotonic() + 10
    while alive(server) and time.monotonic() < ends_at:
        time.sleep(0.05)

    assert time.monotonic() < ends_at
    os.close(read)
    os.close(write)


def test_keys_and_use_are_shared_by_two_processes(folder: Path) -> None:
    with StdioServer(folder) as one, StdioServer(folder) as two:
        one.initialize()
        two.initialize()
        key = one.call("generate_api_key", user_id="alice")["structuredContent"]["api_key"]
        seen = two.call("verify_api_key", api_key=key)["structuredContent"]
        one.call("route_prompt", prompt="Hello")
        two.call("route_prompt", prompt="Hello")
        summary = one.call("get_usage_summary")["structuredContent"]
        two.call("revoke_api_key", api_key=key)
        gone = one.call("verify_api_key", api_key=key)["structuredContent"]

    assert (seen["valid"], gone["status"]) == (True, "revoked")
    assert summary["total_requests"] == 2


def test_a_broken_configuration_is_told_by_the_calls_and_can_be_mended(folder: Path) -> None:
    config = folder / ".dynaroute" / "config.yaml"
    config.write_text("strategy: fastest\n", encoding="utf-8")
    with StdioServer(folder) as server:
        server.initialize()
        refused = server.call("classify_prompt", prompt="Hello")
        config.write_text("discover_local: false\n", encoding="utf-8")
        mended = server.call("classify_prompt", prompt="Hello")

    assert refused["isError"]
    assert "[configuration_invalid]" in refused["content"][0]["text"]
    assert "strategy" in refused["content"][0]["text"]
    assert mended["structuredContent"]["level"] >= 1


def test_a_database_that_is_none_is_told_and_the_rest_works(folder: Path) -> None:
    (folder / "dynaroute.db").write_bytes(b"this is no database, whatever its name says" * 100)
    with StdioServer(folder) as server:
        server.initialize()
        label = server.call("classify_prompt", prompt="Hello")
        refused = server.call("generate_api_key", user_id="alice")
        after = server.call("calculate_cost", model_name="gpt-4.1", prompt_tokens=1, completion_tokens=1)

    assert label["structuredContent"]["level"] >= 1
    assert refused["isError"]
    assert "[store_corrupt]" in refused["content"][0]["text"]
    assert after["structuredContent"]["litellm_id"] == "openai/gpt-4.1"


def test_the_log_holds_no_secret(folder: Path) -> None:
    with StdioServer(folder, OPENAI_API_KEY="sk-verysecret0123456789") as server:
        server.initialize()
        key = server.call("generate_api_key", user_id="alice")["structuredContent"]["api_key"]
        server.call("verify_api_key", api_key=key, nonsense=1)
        server.call("verify_api_key", api_key=[key])
        everything = b"".join(server.lines)
        server.rest()

    log = server.log.read_text(encoding="utf-8")
    assert key not in log
    assert "verysecret" not in log + everything.decode()
