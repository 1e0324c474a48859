"""Providers' keys of a key's own: encrypted, bound to their row, used in place of the operator's, nobody else's trouble."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from tests.scripted import ASK, FLASH, HAIKU, KEYS, LUNA, Script, failure, scripted_core, settings

from dynaroute_mcp.accounts import Terms
from dynaroute_mcp.errors import (
    ConfigurationInvalid,
    InvalidRequest,
    NoCandidate,
    NotFound,
    PermissionDenied,
    ProviderKeyRejected,
    UnknownName,
)
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.types import Caller, KeyRule

MASTER = "a-master-key-of-more-than-32-characters"
SECRET = "sk-ant-api03-alices-very-own-key-9f0e"


async def with_own_key(core: Core, provider: str = "anthropic", secret: str = SECRET, **terms: object) -> str:
    made = await core.accounts.generate_key("alice", terms=replace(Terms(), **terms))  # type: ignore[arg-type]
    await core.accounts.provider_keys.add(made.row.key_id, provider, secret)
    return made.secret


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def caller(core: Core, provider: str = "anthropic", secret: str = SECRET) -> Caller:
    return await core.accounts.caller_for(await with_own_key(core, provider, secret))


async def test_a_providers_key_is_nowhere_in_clear(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        who = await caller(core)
        decision = await core.router.choose(ASK, who)
        await core.router.complete(ASK, who)

        assert SECRET not in repr((who, decision, core.accounts, core.settings))
    assert SECRET.encode() not in everything_in(tmp_path)
    assert SECRET not in caplog.text
    assert who.provider_keys[0].masked == "sk-ant-a...9f0e"


async def test_it_is_used_in_place_of_the_operators_for_this_key_alone(tmp_path: Path) -> None:
    script = Script()
    named = replace(ASK, model=HAIKU)
    async with scripted_core(settings(tmp_path, encryption_key=MASTER), script) as core:
        await core.router.complete(named, await caller(core))
        bob = await core.accounts.caller_for((await core.accounts.generate_key("bob")).secret)
        await core.router.complete(named, bob)
        async with core.router.stream(named, await caller(core)) as routed:
            assert [event async for event in routed]

    assert [call.endpoint.api_key for call in script.calls] == [SECRET, KEYS["ANTHROPIC_API_KEY"], SECRET]


async def test_a_provider_without_an_operators_key_is_open_to_who_brings_one(tmp_path: Path) -> None:
    script = Script()
    only_openai = settings(tmp_path, encryption_key=MASTER, variables={"OPENAI_API_KEY": "sk-openai"})
    named = replace(ASK, model=HAIKU)
    async with scripted_core(only_openai, script) as core:
        await core.router.complete(named, await caller(core))
        with pytest.raises(NoCandidate, match="no key: set ANTHROPIC_API_KEY"):
            await core.router.complete(named, Caller(owner="bob"))

    assert script.asked == [HAIKU]


async def test_nothing_is_simulated_for_who_brings_the_only_key(tmp_path: Path) -> None:
    script = Script()
    async with scripted_core(settings(tmp_path, encryption_key=MASTER, variables={}), script) as core:
        answer = await core.router.complete(ASK, await caller(core))

    assert not answer.sandbox
    assert answer.provider == "anthropic"
    assert script.calls[0].endpoint.api_key == SECRET


async def test_a_test_key_keeps_none_and_a_revoked_one_loses_its_own(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        tester = await core.accounts.generate_key("alice", sandbox=True)
        gone = await core.accounts.generate_key("alice")
        await core.accounts.provider_keys.add(gone.row.key_id, "openai", SECRET)
        await core.accounts.revoke_key(gone.secret)

        assert (await core.accounts.get_key(gone.row.key_id)).provider_keys == ()
        for key_id in (tester.row.key_id, gone.row.key_id):
            with pytest.raises(InvalidRequest, match="never reaches a provider"):
                await core.accounts.provider_keys.add(key_id, "openai", SECRET)


async def test_a_second_key_of_a_provider_takes_the_place_of_the_first_and_a_removed_one_is_gone(
    tmp_path: Path,
) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        key_id = (await core.accounts.generate_key("alice")).row.key_id
        keep = core.accounts.provider_keys
        for provider, secret in (("Claude", SECRET), ("openai", "short-key"), ("anthropic", SECRET + "2")):
            await keep.add(key_id, provider, secret)
        row = await core.accounts.get_key(key_id)

        assert [(held.provider, held.masked) for held in row.provider_keys] == [
            ("openai", "****"),
            ("anthropic", "sk-ant-a...f0e2"),
        ]
        await keep.remove(key_id, "OpenAI")
        assert [held.provider for held in (await core.accounts.get_key(key_id)).provider_keys] == [
            "anthropic"
        ]
        with pytest.raises(NotFound, match="no key of 'openai'"):
            await keep.remove(key_id, "openai")


@pytest.mark.parametrize(
    "secret", ["", "short", "with space 12345", "line\r\nbreak-1234", "schlüssel-12345", "x" * 1001]
)
async def test_what_could_not_stand_in_a_header_is_no_key(tmp_path: Path, secret: str) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        key_id = (await core.accounts.generate_key("alice")).row.key_id

        with pytest.raises(InvalidRequest) as caught:
            await core.accounts.provider_keys.add(key_id, "openai", secret)

    assert caught.value.param == "api_key"
    assert not secret or secret not in str(caught.value)


async def test_who_takes_no_key_and_who_is_nobody_are_told_apart(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        key_id = (await core.accounts.generate_key("alice")).row.key_id
        keep = core.accounts.provider_keys

        with pytest.raises(UnknownName, match=r"'nobody'\. There are \d+: anthropic, cohere, "):
            await keep.add(key_id, "nobody", SECRET)
        with pytest.raises(UnknownName, match=r"did you mean openai, [^?]*\? There are") as caught:
            await keep.add(key_id, "Opnai", SECRET)
        assert len(caught.value.suggestions) <= 3
        with pytest.raises(InvalidRequest, match="sandbox takes no key"):
            await keep.add(key_id, "sandbox", SECRET)
        with pytest.raises(NotFound):
            await keep.add("key_000000000000", "openai", SECRET)


async def test_without_a_master_key_nothing_is_taken_and_the_reason_says_what_to_do(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        key_id = (await core.accounts.generate_key("alice")).row.key_id

        with pytest.raises(ConfigurationInvalid, match="DYNAROUTE_ENCRYPTION_KEY"):
            await core.accounts.provider_keys.add(key_id, "openai", SECRET)


async def test_a_key_that_cannot_be_read_is_not_replaced_by_the_operators(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        secret = await with_own_key(core)
    script = Script()
    async with scripted_core(settings(tmp_path, encryption_key=MASTER[::-1]), script) as core:
        who = await core.accounts.caller_for(secret)
        with pytest.raises(NoCandidate, match="this key's own anthropic key can't be read"):
            await core.router.complete(replace(ASK, model=HAIKU), who)
        decision = await core.router.choose(ASK, who)

    assert script.calls == []
    assert not any(candidate.provider == "anthropic" for candidate in decision.choice.chain)
    assert "a provider key can't be used" in caplog.text


async def test_a_key_whose_provider_has_a_wrong_address_is_left_out_and_the_others_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only_openai = {name: key for name, key in KEYS.items() if name == "OPENAI_API_KEY"}
    wrong = {"anthropic": {"base_url": "http://10.0.0.9/v1"}}
    chosen = settings(tmp_path, encryption_key=MASTER, variables=only_openai, providers=wrong)
    async with scripted_core(chosen) as core:
        who = await core.accounts.caller_for(await with_own_key(core))
        answer = await core.router.complete(replace(ASK, model=LUNA), who)

    assert answer.provider == "openai"
    assert "a provider key can't be used" in caplog.text


async def test_a_sealed_key_copied_to_another_row_is_refused(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        alice = await caller(core)
        mallory = await core.accounts.generate_key("mallory")
        await core.store.edit_key(
            mallory.row.key_id, lambda row: replace(row, provider_keys=alice.provider_keys)
        )
        thief = await core.accounts.caller_for(mallory.secret)

        with pytest.raises(NoCandidate, match="can't be read"):
            await core.router.complete(replace(ASK, model=HAIKU), thief)
        moved = replace(alice.provider_keys[0], provider="openai")
        await core.store.edit_key(alice.key_id or "", lambda row: replace(row, provider_keys=(moved,)))
        with pytest.raises(NoCandidate, match="can't be read"):
            await core.router.complete(replace(ASK, model=LUNA), replace(alice, provider_keys=(moved,)))


async def test_a_bad_key_of_ones_own_cools_nobody_elses_provider(tmp_path: Path) -> None:
    script = Script(failures={HAIKU: [failure(ProviderKeyRejected, status=401)]})
    named = replace(ASK, model=HAIKU)
    async with scripted_core(settings(tmp_path, encryption_key=MASTER), script) as core:
        who = await caller(core)
        with pytest.raises(ProviderKeyRejected):
            await core.router.complete(named, who)
        mine = await core.router.choose(ASK, who)
        others = await core.router.choose(ASK, Caller(owner="bob"))

    assert any(each.reason.startswith("cooling") for each in mine.choice.losers)
    assert not any(each.reason.startswith("cooling") for each in others.choice.losers)


async def test_the_health_of_keys_of_their_own_is_kept_for_so_many_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynaroute_mcp.router._KEPT_APART", 1)
    script = Script(failures={HAIKU: [failure(ProviderKeyRejected, status=401)]})
    async with scripted_core(settings(tmp_path, encryption_key=MASTER), script) as core:
        who = await caller(core)
        with pytest.raises(ProviderKeyRejected):
            await core.router.complete(replace(ASK, model=HAIKU), who)
        await core.router.choose(ASK, await caller(core))
        again = await core.router.choose(ASK, who)

    assert not any(each.reason.startswith("cooling") for each in again.choice.losers)


async def test_a_disabled_provider_stays_so_for_keys_that_bring_one(tmp_path: Path) -> None:
    chosen = settings(tmp_path, encryption_key=MASTER, providers={"anthropic": {"enabled": False}})
    async with scripted_core(chosen) as core:
        with pytest.raises(NoCandidate):
            await core.router.choose(replace(ASK, model=HAIKU), await caller(core))


async def test_a_changed_master_key_reads_the_old_ones_work_until_it_is_sealed_anew(tmp_path: Path) -> None:
    old, new = MASTER, "another-master-key-of-32-characters!"
    async with scripted_core(settings(tmp_path, encryption_key=old)) as core:
        secret = await with_own_key(core)
        lost = await with_own_key(core)
        key_id = (await core.accounts.caller_for(lost)).key_id or ""
        await core.store.edit_key(
            key_id,
            lambda row: replace(row, provider_keys=(replace(row.provider_keys[0], sealed="1.aaaaaaaa.xx"),)),
        )
    async with scripted_core(settings(tmp_path, encryption_key=f"{new},{old}")) as core:
        first = await core.accounts.provider_keys.reencrypt()
        second = await core.accounts.provider_keys.reencrypt()
    script = Script()
    async with scripted_core(settings(tmp_path, encryption_key=new), script) as core:
        await core.router.complete(replace(ASK, model=HAIKU), await core.accounts.caller_for(secret))

    assert (first.done, first.current, first.unreadable) == (1, 0, ((key_id, "anthropic"),))
    assert (second.done, second.current) == (0, 1)
    assert script.calls[0].endpoint.api_key == SECRET


# ---------------------------------------------------------------- preferences


async def test_a_keys_exclusion_unites_with_the_others_and_is_named(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, exclude=("openai",))) as core:
        made = await core.accounts.generate_key("alice", terms=Terms(exclude=("anthropic",)))
        decision = await core.router.choose(ASK, await core.accounts.caller_for(made.secret))

    reasons = {each.model_id: each.reason for each in decision.choice.losers}
    assert reasons[HAIKU] == "excluded by this key"
    assert reasons[LUNA] == "excluded"
    assert {each.provider for each in decision.choice.chain} == {"google"}


async def test_a_key_that_may_use_some_models_only_gets_no_other(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        made = await core.accounts.generate_key("alice", terms=Terms(models=("gemini-2.5-flash",)))
        who = await core.accounts.caller_for(made.secret)
        decision = await core.router.choose(ASK, who)

        assert [each.model_id for each in decision.choice.chain] == [FLASH]
        with pytest.raises(NoCandidate, match="not among the models of this key"):
            await core.router.choose(replace(ASK, model=HAIKU), who)


async def test_a_keys_rule_goes_before_the_configured_one_and_an_exclusion_before_both(
    tmp_path: Path,
) -> None:
    rules = ({"category": "*", "model": LUNA},)
    async with scripted_core(settings(tmp_path, rules=rules)) as core:
        terms = Terms(rules=(KeyRule(category="*", model=HAIKU),))
        ruled = await core.accounts.caller_for(
            (await core.accounts.generate_key("alice", terms=terms)).secret
        )
        barred = replace(ruled, preferences=replace(ruled.preferences, exclude=("anthropic",)))
        first = await core.router.choose(ASK, ruled)
        second = await core.router.choose(ASK, barred)

    assert first.choice.winner.model_id == HAIKU
    assert first.choice.reason.endswith("this key's rule for * names it")
    assert second.choice.winner.model_id != HAIKU


async def test_the_strategy_of_a_key_is_named_and_a_requests_own_goes_before_it(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        made = await core.accounts.generate_key("alice", terms=Terms(strategy="best"))  # type: ignore[arg-type]
        who = await core.accounts.caller_for(made.secret)
        by_key = await core.router.choose(ASK, who)
        own = await core.router.choose(
            replace(ASK, routing=replace(ASK.routing, strategy="cheapest")),  # type: ignore[arg-type]
            who,
        )

    assert "strategy best is this key's" in by_key.choice.notes
    assert (by_key.choice.strategy, own.choice.strategy) == ("best", "cheapest")
    assert not any("this key's" in note for note in own.choice.notes)


async def test_only_an_owner_without_limits_forgets_a_providers_key(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, encryption_key=MASTER)) as core:
        who = await core.accounts.caller_for(await with_own_key(core, requests_per_day=5))

        with pytest.raises(PermissionDenied):
            await core.accounts.provider_keys.remove(who.key_id or "", "anthropic", by=who)
