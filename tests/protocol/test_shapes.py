"""Tests of reading responses from a server of another version."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from aiplatform.protocol.shapes.shape import Extensible, Shape


class State(StrEnum):
    ON = "on"
    OFF = "off"


class Part(Shape):
    uuid: UUID
    state: Annotated[State, Extensible()]
    note: str | None


class Whole(Shape):
    name: str
    part: Part
    size: int
    share: float
    done: bool
    tags: list[str]
    data: dict[str, Any]
    ended_at: datetime | None
    way: Annotated[Literal["up", "down"], Extensible()] | None


class PlainWhole(BaseModel):
    state: State
    way: Literal["up", "down"] | None


U = "0b9c4a1e-5c3d-4a57-8b2e-3f1d2c4b5a69"


def test_unknown_fields_of_a_newer_server_are_kept() -> None:
    part = {"uuid": U, "state": "on", "note": None, "weight": 3}
    read: Any = Whole.read_answer({"name": "a", "part": part, "colour": "red"})
    assert read.colour == "red"
    assert read.part.weight == 3


def test_unknown_values_of_a_newer_server_are_kept() -> None:
    part = {"uuid": U, "state": "idle"}
    read = Whole.read_answer({"name": "a", "part": part, "way": "left"})
    assert read.part.state == "idle"
    assert read.way == "left"
    assert read.model_dump(mode="json")["part"]["state"] == "idle"
    known = Part.read_answer({"uuid": U, "state": "off"})
    assert known.state is State.OFF


def test_missing_fields_of_an_older_server_are_empty() -> None:
    read = Whole.read_answer({"name": "a", "part": {"uuid": U, "state": "on"}})
    assert (read.size, read.share, read.done) == (0, 0.0, False)
    assert (read.tags, read.data, read.ended_at, read.way) == ([], {}, None, None)
    assert read.part.note is None


@pytest.mark.parametrize(
    "answer",
    [
        {"part": {"uuid": U, "state": "on"}},
        {"name": "a"},
        {"name": "a", "part": {"state": "on"}},
        {"name": "a", "part": {"uuid": U, "state": 3}},
        {"name": "a", "part": {"uuid": U, "state": "on"}, "size": "much"},
    ],
)
def test_answer_without_an_essential_value_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Whole.read_answer(answer)


@pytest.mark.parametrize(
    "change", [{"note": None}, {"state": "idle", "note": None}, {"state": "on"}]
)
def test_server_must_give_every_field_with_a_known_value(change: dict[str, Any]) -> None:
    complete = {"uuid": U, "state": "on", "note": None}
    assert Part.model_validate(complete).state is State.ON
    with pytest.raises(ValidationError):
        Part.model_validate({"uuid": U, **change})


def test_extensible_values_are_described_like_plain_ones() -> None:
    plain = PlainWhole.model_json_schema(mode="serialization")["properties"]
    part = Part.model_json_schema(mode="serialization")["properties"]
    whole = Whole.model_json_schema(mode="serialization")["properties"]
    assert part["state"] == plain["state"]
    assert whole["way"] == plain["way"]
