"""Tests that checks report the expected findings, and none for good rows."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform.data.quality.duplicates import halves_of, repeated, row_digests
from aiplatform.data.quality.roles import problem_of
from tests.data.conftest import chat
from tests.data.quality.conftest import Report, codes, found

GOOD: dict[str, list[dict[str, Any]]] = {
    "chat": [chat("s: brief", "u: hi", f"a: hello {n}") for n in range(9)],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": f"{n}"}, {"from": "gpt", "value": "x"}]}
        for n in range(9)
    ],
    "alpaca": [{"instruction": f"{n}", "input": "", "output": "x"} for n in range(9)],
    "prompt_completion": [{"prompt": f"{n}", "completion": "x", "id": 1} for n in range(9)],
    "preference": [{"prompt": f"{n}", "chosen": "x", "rejected": "y"} for n in range(9)],
    "unpaired_preference": [
        {"prompt": f"{n}", "completion": "x", "label": n % 2 == 0} for n in range(9)
    ],
    "classification": [{"text": f"{n}", "label": n % 2} for n in range(9)],
    "text": [{"text": f"{n}"} for n in range(9)],
}


@pytest.mark.parametrize("shape", GOOD)
def test_good_rows_have_no_findings(report: Report, shape: str) -> None:
    made = report(GOOD[shape])
    assert made["shape"] == shape
    assert made["findings"] == []
    assert made["score"] == 100


def test_missing_required_value_is_an_error(report: Report) -> None:
    made = report([{"prompt": "a", "completion": None}, {"prompt": "b", "completion": "c"}])
    finding = found(made, "missing")
    assert finding["column"] == "completion"
    assert finding["count"] == 1
    assert finding["share"] == 0.5
    assert finding["severity"] == "error"
    assert finding["examples"] == [{"row": 0, "text": "a"}]
    assert made["score"] == 50


def test_missing_label_of_an_answer_is_an_error(report: Report) -> None:
    rows = [{"prompt": f"{n}", "completion": "b", "label": v} for n, v in enumerate((True, None))]
    made = report([*rows, {"prompt": "c", "completion": "d", "label": False}])
    assert (found(made, "missing")["column"], found(made, "missing")["count"]) == ("label", 1)


@pytest.mark.parametrize(("label", "words"), [(True, "good"), (False, "bad")])
def test_answers_that_are_all_labelled_alike_are_an_error(
    report: Report, label: bool, words: str
) -> None:
    made = report([{"prompt": f"{n}", "completion": "b", "label": label} for n in range(3)])
    finding = found(made, "one_sided")
    assert (finding["severity"], finding["count"], made["score"]) == ("error", 3, 0)
    assert finding["message"] == f"all answers are labelled {words}"


@pytest.mark.parametrize("value", [None, []])
def test_missing_conversation_is_found(report: Report, value: Any) -> None:
    made = report([chat("u: a", "a: b"), {"messages": value}])
    assert codes(made) == ["missing"]
    assert found(made, "missing")["examples"][0]["row"] == 1


def test_missing_value_in_another_column_is_information(report: Report) -> None:
    rows = [{"text": "a", "score": None, "url": None}, {"text": "b", "score": 0.5, "url": None}]
    made = report(rows)
    assert [(f["code"], f["column"], f["count"], f["severity"]) for f in made["findings"]] == [
        ("missing_other", "url", 2, "info"),
        ("missing_other", "score", 1, "info"),
    ]
    assert made["score"] == 100


def test_optional_parts_may_be_absent(report: Report) -> None:
    rows = [
        {"instruction": "a", "input": None, "output": "b", "system": None},
        {"instruction": "c", "input": "d", "output": "e", "system": "f"},
    ]
    assert report(rows)["findings"] == []


@pytest.mark.parametrize("blank", ["", " \n\t", "\u3000"])
def test_empty_text_is_an_error(report: Report, blank: str) -> None:
    made = report([{"text": "a"}, {"text": blank}, {"text": "b"}, {"text": "c"}])
    finding = found(made, "empty")
    assert (finding["count"], finding["column"], finding["severity"]) == (1, "text", "error")
    assert finding["examples"][0]["row"] == 1
    assert made["score"] == 75


def test_empty_messages_are_found(report: Report) -> None:
    made = report([chat("u: a", "a: "), chat("u:   ", "a: b"), chat("u: a", "a: b")])
    finding = found(made, "empty_message")
    assert finding["count"] == 2
    assert [e["row"] for e in finding["examples"]] == [0, 1]


def test_exact_duplicates_are_found_with_the_original_row(report: Report) -> None:
    rows = [chat("u: a", f"a: {n % 3}") | {"id": n} for n in range(8)]
    finding = found(report(rows), "duplicates")
    assert finding["count"] == 5
    assert [(e["row"], e["text"]) for e in finding["examples"]] == [
        (n, f"= {n % 3}: user: a · assistant: {n % 3} · {n}") for n in range(3, 8)
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "ab", "completion": "c"}, {"prompt": "a", "completion": "bc"}],
        [{"text": "1", "label": ""}, {"text": "1", "label": None}],
        [chat("u: ab", "a: c"), chat("u: a", "a: bc")],
        [chat("u: a", "a: b"), chat("u: a", "a: b", "u: ")],
        [chat("u: a", "a: b"), chat("u: a", "u: b")],
        [
            {"messages": [{"role": "user", "content": "a", "weight": 1}]},
            {"messages": [{"role": "user", "content": "a", "weight": 2}]},
        ],
        [{"messages": [{"role": "user", "content": "u"}]}, {"messages": []}],
        [{"instruction": "a", "output": "b", "system": "c"},
         {"instruction": "a", "output": "b", "system": None}],
    ],
)  # fmt: skip
def test_rows_that_differ_are_no_duplicates(report: Report, rows: list[dict[str, Any]]) -> None:
    assert "duplicates" not in codes(report(rows))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from(["", "x"]))))
def test_digests_are_equal_exactly_for_equal_rows(rows: list[tuple[str, str | None]]) -> None:
    table = {"a": pa.array([r[0] for r in rows]), "b": pa.array([r[1] for r in rows], pa.string())}
    batch = pa.record_batch(table)
    cut = len(rows) // 2
    digests = row_digests(batch.slice(0, cut), ["a", "b"]) + row_digests(
        batch.slice(cut), ["a", "b"]
    )
    first: dict[Any, int] = {}
    expected = {n: first[row] for n, row in enumerate(rows) if first.setdefault(row, n) != n}
    repeats, firsts = repeated(halves_of(digests))
    assert dict(zip(repeats.tolist(), firsts.tolist(), strict=True)) == expected


def test_repeated_finds_copies_among_many_digests() -> None:
    digests = np.random.default_rng(1).bytes(16 * 200_000)
    repeats, _ = repeated(halves_of(digests + digests[:160]))
    assert sorted(repeats.tolist()) == list(range(200_000, 200_010))


@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        ("ua", None),
        ("sua", None),
        ("uauaua", None),
        ("suatata", None),
        ("uata", None),
        ("uatta", None),
        ("u", "no_answer"),
        ("s", "no_answer"),
        ("uau", "unanswered"),
        ("uat", "unanswered"),
        ("uua", "role_order"),
        ("uaa", "role_order"),
        ("aua", "role_order"),
        ("usa", "role_order"),
        ("ssua", "role_order"),
        ("uta", "role_order"),
        ("sa", "role_order"),
    ],
)
def test_problem_of_turns_returns_the_worst_problem(turns: str, problem: str | None) -> None:
    assert problem_of(turns) == problem


def test_wrong_roles_are_found(report: Report) -> None:
    rows = [
        chat("u: a"),
        chat("u: a", "a: b"),
        chat("u: a", "u: b", "a: c"),
        chat("u: a", "a: b", "u: c"),
        chat("a: b", "u: c", "a: d"),
    ]
    made = report(rows)
    assert {f["code"]: [e["row"] for e in f["examples"]] for f in made["findings"]} == {
        "no_answer": [0],
        "role_order": [2, 4],
        "unanswered": [3],
    }
    sharegpt = [
        {"conversations": [{"from": "human", "value": "a"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    ]
    assert codes(report(sharegpt)) == ["no_answer"]


def test_message_without_text_is_found(report: Report) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}
    made = report([{"messages": [{"role": "user", "content": "a"}, call]}, chat("u: a", "a: b")])
    assert codes(made) == ["message_without_text"]
    assert found(made, "message_without_text")["count"] == 1


def test_equal_chosen_and_rejected_sides_are_found(report: Report) -> None:
    rows = [
        {"prompt": "a", "chosen": "b", "rejected": "b"},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
    ]
    assert found(report(rows), "same_sides")["examples"] == [{"row": 0, "text": "a · b · b"}]
    turns = [
        {
            "chosen": chat("u: a", f"a: {n}")["messages"],
            "rejected": chat("u: a", "a: 1")["messages"],
        }
        for n in range(3)
    ]
    assert found(report(turns), "same_sides")["count"] == 1


def test_table_is_not_trainable(report: Report) -> None:
    made = report([{"a": 1, "b": [1]}, {"a": 2, "b": {}}])
    assert found(made, "not_trainable")["count"] == 2
    assert made["score"] == 0


def test_examples_are_short_and_few(report: Report) -> None:
    made = report([chat(f"u: {n} " + "x \n" * 500) for n in range(50)])
    finding = found(made, "no_answer")
    assert finding["count"] == 50
    assert len(finding["examples"]) == 5
    assert all(len(e["text"]) <= 160 and "\n" not in e["text"] for e in finding["examples"])


@pytest.mark.parametrize("value", ["hello", [], None, 5, [1]])
@pytest.mark.parametrize("name", ["messages", "conversations", "conversation"])
def test_conversation_name_with_other_content_makes_a_table(
    report: Report, name: str, value: Any
) -> None:
    made = report([{name: value, "n": n} for n in range(3)])
    assert made["shape"] == "table"
    assert "not_trainable" in codes(made)
