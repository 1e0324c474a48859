"""`route` and `classify`: ask the router, and see what it thinks of a prompt."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict, Unpack

import click

from dynaroute_mcp.books import Decision
from dynaroute_mcp.cli.options import LEVELS, STRATEGIES, Asking, complete_category, read_prompt
from dynaroute_mcp.cli.render import SHOWN_LOSERS, facts, losers, note, say, table
from dynaroute_mcp.cli.session import emit, json_option, with_core
from dynaroute_mcp.cli.text import clean, pct, usd
from dynaroute_mcp.mcp_server.arguments import to_request
from dynaroute_mcp.mcp_server.wording import ENDED
from dynaroute_mcp.results import Classified, RoutedPrompt
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.types import (
    Answer,
    ChatRequest,
    Classification,
    Saving,
    TextDelta,
    Usage,
)

_BAR_CELLS = 20


class RouteOptions(TypedDict):
    """What `route` takes beside the prompt."""

    system: str | None
    strategy: str | None
    level: int | None
    category: str | None
    model: str | None
    max_tokens: int | None
    max_cost_usd: float | None
    dry_run: bool
    stream: bool
    quiet: bool
    as_json: bool


@click.command(cls=Asking)
@click.argument("prompt", required=False)
@click.option("--system", help="Instructions that stand before the prompt.")
@click.option("--strategy", type=STRATEGIES, help="What to favour; else the configured one.")
@click.option("--level", type=LEVELS, help="Level to route at, in place of the classifier's.")
@click.option(
    "--category", shell_complete=complete_category, help="Category to route at, in place of the classifier's."
)
@click.option("--model", help="Model that must answer, by any of its names.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens that the answer may have.")
@click.option("--max-cost-usd", type=float, help="Most dollars that this one request may cost.")
@click.option("--dry-run", is_flag=True, help="Decide and estimate, but call no model and spend nothing.")
@click.option("--stream", is_flag=True, help="Print the answer while it comes.")
@click.option("-q", "--quiet", is_flag=True, help="Print the answer only.")
@json_option
def route(prompt: str | None, **options: Unpack[RouteOptions]) -> None:
    """Answer a prompt with the cheapest model that is good enough.

    PROMPT is the text, or `-` for stdin. The answer comes first, then which model gave it, why, what it cost
    and what GPT-4.1 would have cost.
    """
    request = _request(read_prompt(prompt), options)

    async def work(core: Core) -> None:
        caller = await core.caller()
        if options["dry_run"]:
            decision = await core.router.choose(request, caller)
            emit(RoutedPrompt.of_decision(decision).payload()) if options["as_json"] else _show_decision(
                decision
            )
            return
        if options["stream"] and not options["as_json"]:
            answer = await _stream(core, request)
        else:
            answer = await core.router.complete(request, caller)
            if options["as_json"]:
                emit(RoutedPrompt.of(answer).payload())
                return
            say(answer.completion.message.text)
        if not options["quiet"]:
            _show_receipt(answer)

    with_core(work)


@click.command(cls=Asking)
@click.argument("prompt", required=False)
@json_option
def classify(prompt: str | None, *, as_json: bool) -> None:
    """Label a prompt: its category and its level. No model is called.

    PROMPT is the text, or `-` for stdin.
    """
    text = read_prompt(prompt)

    async def work(core: Core) -> None:
        label = await core.router.classify(text)
        if as_json:
            emit(Classified.of(label).payload())
        else:
            _show_label(label)

    with_core(work)


def _request(prompt: str, options: RouteOptions) -> ChatRequest:
    request = to_request(
        prompt,
        system=options["system"] or "",
        level=options["level"],
        category=options["category"] or "",
        strategy=options["strategy"],
        max_tokens=options["max_tokens"],
        max_cost_usd=options["max_cost_usd"],
    )
    return replace(request, model=options["model"])


async def _stream(core: Core, request: ChatRequest) -> Answer:
    async with core.router.stream(request, await core.caller()) as routed:
        async for event in routed:
            if isinstance(event, TextDelta):
                click.echo(clean(event.text), nl=False)
    click.echo()
    assert routed.answer is not None, "a stream that ended well has an answer"
    return routed.answer


def _show_receipt(answer: Answer) -> None:
    label, gpt41 = answer.classification, answer.gpt41
    click.echo()
    facts(
        {
            "model": f"{answer.model_id} (simulated)" if answer.sandbox else answer.model_id,
            **_label_facts(label),
            "reason": answer.choice.reason,
            "ended": ENDED.get(answer.completion.finish_reason),
            "tokens": _tokens(answer.completion.usage),
            "cost": usd(answer.cost.total_usd) if answer.cost else "unknown: this model has no known price",
            "GPT-4.1": usd(gpt41.baseline_usd) if gpt41 else None,
            "saved": _saved(gpt41) if gpt41 else None,
            "time": f"{answer.latency_ms:,} ms",
            "tried": _tried(answer),
            "dropped": ", ".join(answer.completion.dropped) or None,
            "request": answer.request_id,
        }
    )
    for remark in answer.notes:
        note(remark)
    if not answer.recorded:
        note("not recorded: the database could not be written; see `dynaroute doctor`")


def _show_decision(decision: Decision) -> None:
    choice = decision.choice
    winner = choice.winner
    facts(
        {
            "model": f"{winner.model_id} (simulated)" if decision.simulated else winner.model_id,
            **_label_facts(decision.classification),
            "reason": choice.reason,
            "tokens": f"about {choice.input_tokens:,} in, {choice.expected_output_tokens:,} out",
            "cost": f"about {usd(winner.expected_usd)}, from {usd(choice.min_usd)} to at most {usd(winner.max_usd)}",
            "cheaper": f"{choice.cheaper.model_id}, about {usd(choice.cheaper.expected_usd)}"
            if choice.cheaper
            else None,
            "better": f"{choice.better.model_id}, about {usd(choice.better.expected_usd)}"
            if choice.better
            else None,
            "next": ", ".join(candidate.model_id for candidate in choice.chain[1:]) or None,
        }
    )
    for remark in (*choice.notes, *choice.turning_points):
        note(remark)
    losers([(loser.model_id, loser.reason) for loser in choice.losers], shown=SHOWN_LOSERS)


def _show_label(label: Classification) -> None:
    facts(
        {
            **_label_facts(label),
            "cost tier": label.level.cost_tier,
            "signals": "; ".join(label.signals) or None,
            "difficulty": None if label.difficulty is None else _difficulty(label.difficulty),
            "decided by": f"tier {label.tier.removeprefix('L')} of the classifier",
        }
    )
    click.echo()
    likely = sorted(label.categories.items(), key=lambda item: -item[1])[:4]
    table([("category", ""), ("share", ">"), ("", "cyan")], [(c, *_bar(share)) for c, share in likely])
    click.echo()
    table(
        [("level", ""), ("share", ">"), ("", "cyan")],
        [(f"{level:d} {level.title}", *_bar(share)) for level, share in label.levels.items()],
    )


def _difficulty(chance: float) -> str:
    return f"{chance:.2f}: how likely a small model falls short where a frontier model does not"


def _label_facts(label: Classification) -> Mapping[str, str]:
    sure = "as asked" if label.category_overridden else f"confidence {label.confidence:.2f}"
    asked = ", as asked" if label.level_overridden else ""
    return {
        "category": f"{label.category} ({sure})",
        "level": f"{label.level:d} of 5: {label.level.title}{asked}",
    }


def _bar(share: float) -> tuple[str, str]:
    return f"{share:.2f}", "█" * round(share * _BAR_CELLS)


def _tokens(usage: Usage) -> str:
    guess = "" if usage.source == "provider" else " (estimated)"
    cached = f" ({usage.cache_read_tokens:,} from cache)" if usage.cache_read_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out{guess}"


def _saved(saving: Saving) -> str:
    dearer = ": dearer than GPT-4.1" if saving.saved_usd < 0 else ""
    return f"{usd(saving.saved_usd)} ({pct(saving.saved_pct)}){dearer}"


def _tried(answer: Answer) -> str | None:
    failed = [a for a in answer.attempts if a.outcome != "ok"]
    return "; ".join(f"{a.model_id}: {a.message or a.outcome}" for a in failed) or None
