"""Fixes of findings: what goes, what is mended, and that the finding is gone afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.data.canonical import iter_rows
from aiplatform.data.errors import MalformedData
from aiplatform.data.operations import Job
from aiplatform.data.quality.fixes import repaired, stripped
from aiplatform.data.quality.report import make_report
from aiplatform.data.rework import rework
from aiplatform.protocol.fixes import fixes_of
from tests.data.conftest import Upload, jsonl
from tests.data.quality.conftest import Report

Fixed = Callable[..., dict[str, Any]]


@pytest.fixture
def fixed(upload: Upload, tmp_path: Path) -> Fixed:
    """The answer of a fix, with the rows it leaves and their report."""

    def fix(rows: list[dict[str, Any]], **fixes: str) -> dict[str, Any]:
        upload(jsonl(*rows), "x.jsonl")
        do = {"operation": "fix", "fix": {"fixes": fixes}}
        job = Job.model_validate({"base": upload.output, "output": tmp_path / "fixed", "do": do})
        answer = rework(job)
        path = Path(answer["outputs"][0]["path"])
        answer["rows"] = list(iter_rows(path))
        answer["codes"] = {
            finding["code"]
            for finding in make_report(path, tokenizer=None, max_length=8, progress=lambda _: None)[
                "findings"
            ]
        }
        return answer

    return fix


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * 5
    return {
        "messages": [{"role": r, "content": t} for r, t in zip(roles, turns, strict=False)], **more
    }  # fmt: skip


def test_several_at_once(fixed: Fixed) -> None:
    rows = [
        chat("Who are you?", "A model."),
        chat("Who are you?", "A model."),
        chat("Mail me", "at bob@gmail.com or 13812345678"),
        chat("Say", "<p>Hello &amp; goodbye</p>"),
        chat("Et?", "Le cafÃ© Ã©tait fermÃ©"),
        chat("More", "Yes.", "And?"),
    ]
    answer = fixed(
        rows,
        duplicates="drop",
        personal_email="mask",
        markup="strip",
        damaged_text="repair",
        unanswered="trim",
    )
    said = [[m["content"] for m in row["messages"]] for row in answer["rows"]]
    assert said == [
        ["Who are you?", "A model."],
        ["Mail me", "at [EMAIL] or 13812345678"],
        ["Say", "Hello & goodbye"],
        ["Et?", "Le café était fermé"],
        ["More", "Yes."],
    ]
    assert (answer["changed"], answer["deleted"]) == (4, 1)
    assert answer["codes"] == {"personal_phone"}


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        ("no_answer", [chat("Who?")]),
        ("role_order", [{"messages": [{"role": "assistant", "content": "Hi."}]}]),
        ("empty_message", [chat("  ", "Yes.")]),
        ("personal_phone", [chat("Call 13812345678", "No.")]),
        ("markup", [chat("<br>", "No.")]),
        ("refusals", [chat("How?", "I cannot help with that.")]),
        ("mixed_languages", [chat("今天的天气怎么样？", "The weather is fine today.")]),
    ],
)
def test_rows_are_dropped(
    fixed: Fixed, report: Report, code: str, rows: list[dict[str, Any]]
) -> None:
    good = [chat(f"Question {n}", f"Answer {n}") for n in range(3)]
    assert "drop" in next(f for f in report(good + rows)["findings"] if f["code"] == code)["fixes"]
    answer = fixed([*good, *rows], **{code: "drop"})
    assert answer["rows"] == good
    assert code not in answer["codes"]


def test_text_columns_and_others_are_kept(fixed: Fixed) -> None:
    rows = [
        {"text": "to bob@gmail.com", "label": "a", "n": 1},
        {"text": None, "label": "b", "n": 2},
    ]
    answer = fixed(rows, personal_email="mask")
    assert answer["rows"] == [{**rows[0], "text": "to [EMAIL]"}, rows[1]]


def test_fields_of_messages_are_kept(fixed: Fixed) -> None:
    row = chat("bob@gmail.com", "Yes.", "And?")
    row["messages"][1]["weight"] = 0
    answer = fixed([row], personal_email="mask", unanswered="trim")
    assert answer["rows"][0]["messages"] == [
        {"role": "user", "content": "[EMAIL]"},
        {"role": "assistant", "content": "Yes.", "weight": 0},
    ]


@pytest.mark.parametrize(
    "fixes", [{"duplicates": "mask"}, {"no_such": "drop"}, {"boilerplate": "drop"}]
)
def test_what_can_not_be_fixed_so(fixed: Fixed, fixes: dict[str, str]) -> None:
    with pytest.raises(MalformedData) as raised:
        fixed([chat("Who?", "Me.")], **fixes)
    assert raised.value.reason == "fix_unknown"


def test_nothing_left(fixed: Fixed) -> None:
    with pytest.raises(MalformedData) as raised:
        fixed([chat("Who?")], no_answer="drop")
    assert raised.value.reason == "no_rows_left"


@pytest.mark.parametrize(
    "text", ["Größe, “quoted” – café", "你好，世界。今天天气很好", "plain", "Привет"]
)
def test_sound_text_is_not_repaired(text: str) -> None:
    assert repaired(text) == text


@pytest.mark.parametrize("written", ["latin-1", "cp1252", "gb18030"])
def test_repair_undoes_the_damage(written: str) -> None:
    text = "天气很好" if written == "gb18030" else "Größe und Übermut"
    assert repaired(text.encode().decode(written)) == text


def test_code_keeps_its_markup() -> None:
    assert stripped("<b>Use</b> `<div>`:\n```\n<p>&amp;</p>\n```\n<i>ok</i>") == (
        "Use `<div>`:\n```\n<p>&amp;</p>\n```\nok"
    )


def test_every_fix_is_offered_where_it_works() -> None:
    assert fixes_of("personal_email") == ("mask", "drop")
    assert fixes_of("unanswered") == ("trim", "drop")
    assert fixes_of("boilerplate") == ()
