"""Rewards of the method ``grpo``, with their settings and weights.

A reward is a subclass of :class:`Reward` here, and a function in ``runtime/training/rewards``.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.strict import Strict

REWARDS_GROUP = "aiplatform.rewards"
"""The entry point group through which other Python distributions add rewards."""

MAX_REWARDS = 8
"""Maximum number of rewards of a training run."""


def refusal(kind: str, en: str, zh: str) -> PydanticCustomError:
    """Return a validation error with its message in English and Chinese."""
    return PydanticCustomError(kind, "{words}", {"words": en, "words_zh": zh})


class Reward(Strict):
    """The base class of all rewards."""

    kind: str
    weight: float = Field(
        1.0,
        ge=-1000,
        le=1000,
        allow_inf_nan=False,
        description="factor of the reward in the sum; below 0 it is a penalty, and at 0 it is only "
        "measured",
    )

    compares: ClassVar[bool] = False
    """True if the reward compares the answer with the row's reference."""

    @property
    def label(self) -> str:
        """The name of the reward in metric series and error messages."""
        return self.kind

    @property
    def needs_reference(self) -> bool:
        """True if each row must have a reference."""
        return self.compares


class ExactReward(Reward):
    """A reward of 1 if the answer equals the reference, otherwise 0."""

    compares = True

    kind: Literal["exact"] = "exact"
    ignore_whitespace: bool = Field(
        True, description="spaces and line breaks at the ends, and their number, do not count"
    )
    ignore_case: bool = Field(False, description="upper and lower case do not count")


class ContainsReward(Reward):
    """A reward of 1 if the answer contains the given text, otherwise 0."""

    kind: Literal["contains"] = "contains"
    text: str | None = Field(
        None, min_length=1, max_length=10_000, description="by default, the row's reference"
    )
    ignore_case: bool = Field(False, description="upper and lower case do not count")

    @property
    def needs_reference(self) -> bool:
        """True if each row must have a reference."""
        return self.text is None


class NumericReward(Reward):
    """A reward of 1 if the answer's last number equals the reference's, otherwise 0."""

    compares = True

    kind: Literal["numeric"] = "numeric"
    tolerance: float = Field(
        1e-6,
        ge=0,
        le=1e12,
        allow_inf_nan=False,
        description="largest difference that still counts as equal",
    )


class RegexReward(Reward):
    """A reward of 1 if a Python regular expression matches the answer, otherwise 0."""

    kind: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1, max_length=2000)
    whole: bool = Field(
        False, description="the pattern must match the whole answer, not only a part"
    )
    ignore_case: bool = Field(False, description="upper and lower case do not count")

    @model_validator(mode="after")
    def _pattern_compiles(self) -> "RegexReward":
        try:
            re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise refusal(
                "invalid_pattern",
                f"the pattern {self.pattern!r} is not a regular expression of Python: {error}",
                f"模式 {self.pattern!r} 不是有效的 Python 正则表达式：{error}",
            ) from None
        return self


class JsonSchemaReward(Reward):
    """A reward of 1 if the answer is JSON that a JSON Schema accepts, otherwise 0."""

    kind: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any] = Field(
        description="JSON Schema of the answer; references to other documents are not followed"
    )


class LengthReward(Reward):
    """A reward of 1 for an answer of the target length, decreasing with the difference from it."""

    kind: Literal["length"] = "length"
    target: int = Field(ge=1, le=1_000_000)
    unit: Literal["tokens", "characters"] = "tokens"


class CustomReward(Reward):
    """A reward from another Python distribution that is installed where the training runs."""

    kind: Literal["custom"] = "custom"
    name: str = Field(
        min_length=1,
        max_length=100,
        description="name of the entry point in the group aiplatform.rewards",
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="settings that are passed to the reward"
    )

    @property
    def label(self) -> str:
        """The name of the reward in metric series and error messages."""
        return f"custom_{re.sub(r'[^A-Za-z0-9]+', '_', self.name)}"


AnyReward = TypeAliasType(
    "AnyReward",
    Annotated[
        ExactReward
        | ContainsReward
        | NumericReward
        | RegexReward
        | JsonSchemaReward
        | LengthReward
        | CustomReward,
        Field(discriminator="kind"),
        KindErrors("kind"),
    ],
)
"""A reward of any kind."""


def reward_labels(rewards: Iterable[Reward]) -> list[str]:
    """Return a unique name for each reward: its label, plus a number if it is repeated."""
    seen: Counter[str] = Counter()
    labels = []
    for reward in rewards:
        seen[reward.label] += 1
        number = seen[reward.label]
        labels.append(reward.label if number == 1 else f"{reward.label}_{number}")
    return labels
