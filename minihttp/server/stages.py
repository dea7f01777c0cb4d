"""The stages of a connection and what may be late in them, as data.

Owns: the names, their meanings, and which stage may follow which; the documentation's diagram is printed from here.
Must not know: how a stage is entered or left.
Invariant: CLOSED is reachable from everywhere and leads nowhere.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["CLOSED", "DRAINING", "HANDLER", "HEAD", "IDLE", "LINGERING", "TRANSITIONS", "Late", "Stage"]


class Stage(Enum):
    """What a connection does at this moment."""

    IDLE = "waits for a request"
    HEAD = "waits for the rest of a request head"
    HANDLER = "runs a handler and sends its answer"
    DRAINING = "reads away a body that no handler wanted"
    LINGERING = "has sent its last answer and lets the client read it"
    CLOSED = "is over"


# By name alone: in Python 3.11 the way through the class costs as much as a call, and a request looks often.
IDLE, HEAD, HANDLER, DRAINING, LINGERING, CLOSED = Stage


TRANSITIONS: dict[Stage, frozenset[Stage]] = {
    Stage.IDLE: frozenset({Stage.HEAD, Stage.HANDLER, Stage.LINGERING, Stage.CLOSED}),
    Stage.HEAD: frozenset({Stage.HANDLER, Stage.LINGERING, Stage.CLOSED}),
    Stage.HANDLER: frozenset({Stage.IDLE, Stage.DRAINING, Stage.LINGERING, Stage.CLOSED}),
    Stage.DRAINING: frozenset({Stage.IDLE, Stage.LINGERING, Stage.CLOSED}),
    Stage.LINGERING: frozenset({Stage.CLOSED}),
    Stage.CLOSED: frozenset(),
}


class Late(Enum):
    """What may take too long on a connection."""

    STAGE = "the end of the stage it is in"
    BODY = "the body a handler waits for"
    WRITE = "the client's taking its answer"
    HANDLER = "the handler"
    HALF_CLOSED = "the handler, after the client has closed its side"
