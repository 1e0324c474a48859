"""What a process still knows once it has read its configuration anew: who rests, and where conversations are.

A provider that is now reached at another address or with another key begins afresh: how the old one fared says
nothing of it.
"""

from collections import OrderedDict

from dynaroute_mcp.availability import Availability
from dynaroute_mcp.conversations import Conversations
from dynaroute_mcp.health import Health
from dynaroute_mcp.settings import BreakerSettings
from dynaroute_mcp.tally import Tally


class Memory:
    """One for each process; each of its cores takes over what the one before had learnt."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.conversations = Conversations()
        self.health: Health | None = None
        """Of the real providers; `None` before the first core."""
        self.apart: OrderedDict[str, Health] = OrderedDict()
        """The same of keys that bring providers' keys of their own, by key id, the newest last."""
        self.recalled = False
        """Whether the books were asked how models did before this process began; asked again, they would count twice."""
        self._before: Availability | None = None

    def take_over(self, now: Availability, breaker: BreakerSettings) -> Health:
        """Forget what no longer holds of the core before, and return the new one's health.

        Answers that the old core still gives count for both, but for a provider that begins afresh.
        """
        if self._before is None or self.health is None:
            self.health = Health(breaker)
        else:
            kept = _kept(self._before, now)
            self.health = self.health.renewed(breaker, kept)
            self.apart = OrderedDict((key, each.renewed(breaker, kept)) for key, each in self.apart.items())
            self.conversations.keep(kept)
        self._before = now
        return self.health


def _kept(before: Availability, now: Availability) -> frozenset[str]:
    """Ids of the providers that are reached as before, and of those of their models that there still are."""
    same = {key for key in now.catalog.providers if now.way(key) == before.way(key)} | before.found
    models = (row for row in before.catalog.models if row.provider in same)
    return frozenset(same).union(
        row.id for row in models if row.provider in before.found or row.id in now.catalog.by_id
    )
