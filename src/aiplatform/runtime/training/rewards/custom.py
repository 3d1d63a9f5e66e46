"""Rewards from other Python distributions: entry points of the group ``aiplatform.rewards``.

Each entry point names a function that returns a number. Its arguments are an
:class:`~.answer.Answer`, the reference (a string or None) and the settings (a dictionary).
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from aiplatform.protocol.rewards import REWARDS_GROUP, CustomReward, Reward
from aiplatform.runtime.channel import JobError


def load(reward: Reward) -> Callable[..., float] | None:
    """Return the function of a custom reward, or None for other rewards.

    Raises:
        JobError: No installed distribution has the reward, or it can't be imported or called.
    """
    if not isinstance(reward, CustomReward):
        return None
    points = {point.name: point for point in entry_points(group=REWARDS_GROUP)}
    point = points.get(reward.name)
    if point is None:
        known = ", ".join(sorted(points)) or "none"
        raise JobError(
            f"The reward {reward.name!r} is not installed on this machine (installed: {known}). "
            "Install the package that has it, or choose another reward."
        )
    try:
        function: Any = point.load()
    except Exception as error:  # third-party code may raise anything
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise JobError(
            f"The reward {reward.name!r} can't be imported: {text}. Correct its package."
        ) from error
    if not callable(function):
        raise JobError(
            f"The reward {reward.name!r} is not a function. Correct the entry point of its package."
        )
    return lambda answer, reference, settings: function(answer, reference, settings.settings)
