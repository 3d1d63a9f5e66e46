"""Pure rules of the queue: the transitions, order and placement of tasks."""

from aiplatform.server.queue.rules.order import (
    AGING,
    HALF_LIFE,
    LOOKAHEAD,
    decayed_usage,
    level,
    order_key,
    usage_rate,
    usage_share,
)
from aiplatform.server.queue.rules.placement import (
    Demand,
    Device,
    Offer,
    Room,
    Shortfall,
    shortfalls,
)
from aiplatform.server.queue.rules.states import (
    CLAIMABLE,
    CORRECTIONS,
    LOG_TAIL_CHARACTERS,
    MOVABLE,
    TRANSITIONS,
    attempts_left,
    may_become,
)

__all__ = [
    "AGING",
    "CLAIMABLE",
    "CORRECTIONS",
    "HALF_LIFE",
    "LOG_TAIL_CHARACTERS",
    "LOOKAHEAD",
    "MOVABLE",
    "TRANSITIONS",
    "Demand",
    "Device",
    "Offer",
    "Room",
    "Shortfall",
    "attempts_left",
    "decayed_usage",
    "level",
    "may_become",
    "order_key",
    "shortfalls",
    "usage_rate",
    "usage_share",
]
