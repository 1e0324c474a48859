"""Results in words, for clients that show the text and not the structured content. Each is complete alone.

A model's answer is data: it is introduced as what that model wrote, and nothing here tells the reader what to
do.
"""

from typing import Final

from dynaroute_mcp.results import (
    Classified,
    CostQuote,
    CostSavings,
    GeneratedKey,
    KeyList,
    ModelList,
    ModelRow,
    PlanLimits,
    RevokedKey,
    RoutedPrompt,
    SubscriptionInfo,
    UsageSummary,
    VerifiedKey,
)

ENDED: Final = {
    "length": "cut at the limit of output tokens",
    "content_filter": "refused or cut on grounds of safety",
}
"""How an answer ended, by its finish reason, where it did not end by itself."""


def routed(result: RoutedPrompt) -> str:
    """Say what was answered, by whom, why and for how much."""
    if result.dry_run:
        return _decision(result)
    cost, use = result.cost, result.usage
    facts = [
        f"{result.category}, level {result.level} (confidence {result.routing.confidence:.2f})",
        result.routing.reason,
    ]
    if use is not None:
        about = "about " if use.estimated else ""
        facts.append(f"{about}{use.prompt_tokens:,} + {use.completion_tokens:,} tokens")
    if cost is not None:
        facts.append(_priced(cost.total_cost, cost.gpt41_total_cost, cost.savings, cost.savings_percentage))
    if result.sandbox:
        facts.append("simulated by the sandbox, nothing was spent")
    if result.truncated:
        facts.append("cut at the deadline")
    elif cut := ENDED.get(result.finish_reason):
        facts.append(cut)
    if not result.recorded:
        facts.append("not recorded: the database could not be written")
    else:
        facts.append(f"recorded as {result.request_id}")
    if result.dropped_params:
        facts.append(f"left out, since the model does not take it: {', '.join(result.dropped_params)}")
    told = "\n".join(f"- {fact}" for fact in (*facts, *result.notes))
    return f"{result.model} ({result.provider}) wrote:\n\n{result.response}\n\n{told}"


def _decision(result: RoutedPrompt) -> str:
    lines = [
        f"Dry run, nothing was called: {result.model} ({result.provider}) would answer.",
        f"{result.category}, level {result.level} (confidence {result.routing.confidence:.2f}): "
        f"{result.routing.reason}",
    ]
    if result.estimate is not None:
        low, expected, high = (
            money(amount)
            for amount in (
                result.estimate.min_cost,
                result.estimate.expected_cost,
                result.estimate.max_cost,
            )
        )
        lines.append(f"Cost: {expected} expected, {low} to {high}.")
    lines += [
        f"{word}: {near.model} at {money(near.expected_cost)}"
        for word, near in (("Cheaper", result.cheaper), ("Better", result.better))
        if near is not None
    ]
    if result.routing.fallback_chain:
        lines.append(f"If it fails: {', '.join(result.routing.fallback_chain)}.")
    lines += [f"Not {loser.model}: {loser.reason}" for loser in result.losers]
    return "\n".join([*lines, *result.notes])


def classified(result: Classified) -> str:
    """Say what a prompt is and what spoke for it."""
    others = ", ".join(f"{other.category} {other.score:.2f}" for other in result.alternatives)
    signals = ", ".join(result.signals)
    return (
        f"{result.category}, level {result.level} of 5 ({result.level_description}; "
        f"cost tier {result.cost_tier}), confidence {result.confidence:.2f}."
        + (f" Else: {others}." if others else "")
        + (f" Signals: {signals}." if signals else "")
        + (f" Difficulty {result.difficulty:.2f}." if result.difficulty is not None else "")
    )


def generated(result: GeneratedKey) -> str:
    """Show a new key, once."""
    kind = "test key (sandbox only)" if result.sandbox else "key"
    return (
        f"New {result.tier} {kind} for {result.user_id}: {result.api_key}\n"
        f"Its id is {result.key_id}, lists show it as {result.masked_key}. {result.message}"
    )


def verified(result: VerifiedKey) -> str:
    """Say whether a key works, and what is left."""
    if not result.valid:
        since = f" since {result.revoked_at}" if result.revoked_at else ""
        return f"Not valid: {result.status}{since}." + (
            f" The key is {result.message}." if result.message else ""
        )
    kind = "test key (sandbox only)" if result.sandbox else "key"
    return (
        f"Valid {kind} of {result.user_id}, plan {result.subscription_tier}: {result.tokens_used:,} of "
        f"{_bound(result.token_limit)} tokens used this month, {_bound(result.tokens_remaining)} left."
        + (f" {_limits(result.limits)}." if result.limits is not None else "")
        + (f" Expires {result.expires_at}." if result.expires_at else "")
        + (f" {result.message.capitalize()}." if result.message else "")
    )


def revoked(result: RevokedKey) -> str:
    """Say that a key works no more."""
    word = "was already revoked" if result.already_revoked else "is revoked"
    return f"Key {result.masked_key} {word} ({result.revoked_at}). It works nowhere any more."


def listed(result: KeyList) -> str:
    """List an owner's keys."""
    if not result.count and not result.unreadable:
        return f"{result.user_id} has no keys."
    lines = [
        f"{key.key_id}  {key.masked_key}  {key.status}  {key.tier}{', test key' * key.sandbox}  made {key.created_at}  "
        f"last used {key.last_used_at or 'never'}  {_counted(key.total_requests, 'request')}"
        for key in result.keys
    ]
    cut = f" (the newest {len(lines)} shown)" if result.truncated else ""
    if result.unreadable:
        lines.append(f"{result.unreadable:,} more can't be read and work nowhere; DynaRoute's log says why.")
    return "\n".join([f"{result.user_id} has {_counted(result.count, 'key')}{cut}:", *lines])


def subscribed(result: SubscriptionInfo) -> str:
    """Say which plan somebody has and what is left of it."""
    limits, use = result.limits, result.usage
    ceiling = _ceiling(limits)
    return (
        f"{result.user_id}: plan {result.subscription_tier}, {result.status}. "
        f"This month {result.tokens_used:,} of {_bound(result.token_limit)} tokens and "
        f"{money(use.spend_this_month_usd)} of {ceiling}; "
        f"today {use.requests_today:,} of {_bound(limits.requests_per_day)} requests, "
        f"at most {_bound(limits.requests_per_minute)} a minute. Renews {result.renews_at}."
    )


def models(result: ModelList) -> str:
    """List models with their prices, and with what else was asked for."""
    if not result.models:
        return "No model passes these filters."
    lines = [
        f"{'* ' if model.available else '  '}{model.name} ({model.litellm_id}): "
        f"{money(model.input_cost_per_million)} in, {money(model.output_cost_per_million)} out"
        + (_details(model) if model.status else "")
        for model in result.models
    ]
    cut = f" of {result.total}" if result.total > result.count else ""
    return "\n".join(
        [
            f"{result.count}{cut} {'model' if result.total == 1 else 'models'}, USD per million tokens; * can be called now:",
            *lines,
        ]
    )


def _details(model: ModelRow) -> str:
    levels = ", ".join(map(str, model.levels)) or "none"
    retires = f", retires {model.retires_at}" if model.retires_at else ""
    return (
        f", {money(model.cached_input_cost_per_million)} cached in; {model.context_window:,} tokens window, "
        f"{model.max_output_tokens:,} out; levels {levels}; {', '.join(model.capabilities)}; "
        f"{model.status}{retires}"
    )


def quoted(result: CostQuote) -> str:
    """Say what a number of tokens costs."""
    return (
        f"{result.model_name} ({result.litellm_id}), "
        f"{result.prompt_tokens:,} + {result.completion_tokens:,} tokens: "
        + _priced(result.total_cost, result.gpt41_equivalent_cost, result.savings, result.savings_percentage)
    )


def summed(result: UsageSummary) -> str:
    """Say what was used and saved."""
    lines = [
        f"{_counted(result.total_requests, 'request')} ({result.successful_requests:,} successful), "
        f"{result.total_prompt_tokens:,} + {result.total_completion_tokens:,} tokens, all time.",
        _priced(
            result.total_cost, result.gpt41_equivalent_cost, result.total_savings, result.savings_percentage
        ),
    ]
    if result.unpriced_requests:
        lines.append(f"{result.unpriced_requests:,} requests have no known price or end and are in no sum.")
    if result.sandbox:
        lines.append("All of it was simulated by the sandbox; nothing was spent.")
    elif result.simulated_requests:
        lines.append(f"{result.simulated_requests:,} more requests were simulated by the sandbox.")
    lines += [
        f"{row.name}: {_counted(row.requests, 'request')}, {money(row.cost)}"
        for row in (*result.by_model, *result.by_category)
    ]
    return "\n".join([*lines, subscribed(result.subscription)])


def saved(result: CostSavings) -> str:
    """Say what a number of tokens saves, and what a key has saved."""
    line = (
        f"{result.model_used} ({result.litellm_id}), "
        f"{result.prompt_tokens:,} + {result.completion_tokens:,} tokens: "
        + _priced(result.actual_cost, result.gpt41_equivalent_cost, result.savings, result.savings_percentage)
    )
    if result.cumulative is None:
        return f"{line} No DynaRoute key is set, so there is no running total."
    total = result.cumulative
    return f"{line} In all, {_counted(total.total_requests, 'request')}: " + _priced(
        total.actual_cost, total.gpt41_equivalent_cost, total.savings, total.savings_percentage
    )


def money(amount: float | None) -> str:
    """Dollars in words; unknown is said, not shown as nothing."""
    if amount is None:
        return "an unknown price"
    text = f"{amount:.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"-${whole[1:]}.{cents:0<2}" if whole.startswith("-") else f"${whole}.{cents:0<2}"


def _priced(cost: float | None, gpt41: float | None, saving: float | None, share: float | None) -> str:
    if cost is None or gpt41 is None or saving is None or share is None:
        return f"{money(cost)}."
    word = (
        f"saved {money(saving)} ({share:.2f} %)"
        if saving >= 0
        else f"{money(-saving)} dearer ({-share:.2f} %)"
    )
    return f"{money(cost)}, GPT-4.1 {money(gpt41)}, {word}."


def _limits(limits: PlanLimits) -> str:
    return (
        f"Requests a minute: {_bound(limits.requests_per_minute)}, a day: {_bound(limits.requests_per_day)}; "
        f"dollars a month: {_ceiling(limits)}"
    )


def _ceiling(limits: PlanLimits) -> str:
    return "unlimited" if limits.monthly_spend_usd is None else money(limits.monthly_spend_usd)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _bound(limit: int | None) -> str:
    return "unlimited" if limit is None else f"{limit:,}"
