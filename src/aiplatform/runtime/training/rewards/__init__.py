"""Rewards for the training method ``grpo``, which score answers.

Each reward is a function of an answer, its reference and the settings, and is listed in
:data:`SCORES`. Other Python distributions add rewards as entry points; see :mod:`.custom`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiplatform.protocol.rewards import (
    ContainsReward,
    ExactReward,
    JsonSchemaReward,
    LengthReward,
    NumericReward,
    RegexReward,
    Reward,
    reward_labels,
)
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.training.rewards import custom, scores
from aiplatform.runtime.training.rewards.answer import Answer as Answer

Score = Callable[[Answer, str | None, Any], float]

SCORES: Mapping[type[Reward], Score] = {
    ContainsReward: scores.contains,
    ExactReward: scores.exact,
    JsonSchemaReward: scores.json_schema,
    LengthReward: scores.length,
    NumericReward: scores.numeric,
    RegexReward: scores.regex,
}

LARGEST = 1e30
"""Largest absolute value of a reward. Sums of larger values may overflow in 32 bits."""


class Scorer:
    """A reward in a training run, as a callable that scores answers and reports failures.

    TRL calls the object, and names metrics after its ``__name__``.
    """

    def __init__(self, reward: Reward, label: str) -> None:
        self.reward = reward
        self.__name__ = label
        self._score: Score = custom.load(reward) or SCORES[type(reward)]

    def __call__(
        self,
        *,
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        reference: Sequence[str | None],
        number: Sequence[int],
        **_: Any,
    ) -> list[float]:
        """Return the reward of each answer, without its weight.

        Args:
            completions: The texts of the answers.
            completion_ids: The tokens of each answer.
            reference: The reference of each answer, or None.
            number: The row number of each answer.

        Raises:
            JobError: The reward failed, or its value is not a finite number.
        """
        answers = map(Answer, completions, map(len, completion_ids))
        return [
            self.score(answer, wanted, place=f"row {row} of the dataset")
            for answer, wanted, row in zip(answers, reference, number, strict=True)
        ]

    def score(self, answer: Answer, reference: str | None, *, place: str) -> float:
        """Return the reward of one answer, without its weight.

        Args:
            answer: The answer.
            reference: The reference in the answer's row, or None.
            place: A description of the row, for the error message.

        Raises:
            JobError: The reward failed, or its value is not a finite number.
        """
        try:
            value = float(self._score(answer, reference, self.reward))
        except Exception as error:  # a reward may be third-party code
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise JobError(
                f"The reward {self.__name__} failed for {place}: {text}. {self._advice()}"
            ) from error
        if not (math.isfinite(value) and abs(value) <= LARGEST):
            raise JobError(
                f"The reward {self.__name__} returned {value} for {place}; a reward must be a "
                f"finite number. {self._advice()}"
            )
        return value

    def _advice(self) -> str:
        if self.reward.kind == "custom":
            return "Correct the function of this reward, or remove such rows."
        return "Correct the settings of this reward, or correct or remove such rows."


def make_scorers(rewards: Sequence[Reward]) -> list[Scorer]:
    """Return the scorers for the rewards of a training run.

    Raises:
        JobError: A reward from another distribution is not installed, or can't be imported.
    """
    return [
        Scorer(reward, label) for reward, label in zip(rewards, reward_labels(rewards), strict=True)
    ]
