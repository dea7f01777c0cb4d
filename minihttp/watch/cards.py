"""The warnings: one card per lint and place, counted, and logged once.

Owns: which cards there are, and the mute.
Must not know: how anything was found out.
Invariant: bounded; a line that says `# loop: ok` has no card, nor has a request whose route says so. The same warning
again raises a count and does not log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from .records import Card
from .source import Place

__all__ = ["Cards", "Finding"]

MOST = 100  # kept, the latest
LANES = 20  # named per card
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "hint": logging.INFO}

logger = logging.getLogger("minihttp.watch")


class Finding(NamedTuple):
    """What a lint says, about a place or, where there is none, `about` something that has a name."""

    lint: str
    level: str  # "error", "warning" or "hint"
    title: str
    text: str = ""
    fix: str = ""
    place: Place | None = None
    about: str = ""
    declared: Place | None = None  # the line of the route, or of the application: a mute there counts too


class Cards:
    """`add` one more; `latest` has them all; `total` counts what was found, repetitions included."""

    def __init__(self) -> None:
        self._cards: dict[tuple[str, str], Card] = {}
        self.total = 0

    def add(self, found: Finding, when: float, lanes: Iterable[int] = (), block: int | None = None) -> None:
        """Count a warning, and log it if it is new. `when` is in milliseconds since the start."""
        place = found.place
        if any(each is not None and each.is_muted() for each in (place, found.declared)):
            return
        self.total += 1
        at = str(place) if place is not None else ""
        key = (found.lint, f"{place.file}:{place.line}" if place is not None else found.about)
        known = self._cards.pop(key, None)
        if known is None:
            parts = (f"{at}: {found.title}" if at else found.title, found.text, found.fix)
            logger.log(LEVELS[found.level], "%s", "; ".join(each for each in parts if each))
        self._cards[key] = {
            "lint": found.lint,
            "level": found.level,
            "title": found.title,
            "text": found.text,
            "fix": found.fix,
            "at": at,
            "source": place.around() if place is not None else [],
            "line": place.line if place is not None else 0,
            "count": known["count"] + 1 if known else 1,
            "first": known["first"] if known else when,
            "last": when,
            "lanes": [*(known["lanes"] if known else []), *lanes][-LANES:],
            "block": block,
        }
        while len(self._cards) > MOST:
            del self._cards[next(iter(self._cards))]

    def latest(self) -> list[Card]:
        """All cards, the latest first."""
        return list(self._cards.values())[::-1]
