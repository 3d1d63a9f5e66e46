"""Tests of fixes: rows are dropped or texts changed, and the finding is gone afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiplatform.data.canonical import iter_rows
from aiplatform.data.errors import MalformedData
from aiplatform.data.operation_specs import Job
from aiplatform.data.quality.fixes import repair_encoding, strip_markup
from aiplatform.data.quality.nested import fix_nested_texts
from aiplatform.data.quality.report import make_report
from aiplatform.data.row_operations import execute
from aiplatform.protocol.fixes import fixes_of
from tests.data.conftest import Upload, jsonl
from tests.data.quality.conftest import Report

Fixed = Callable[..., dict[str, Any]]


@pytest.fixture
def fixed(upload: Upload, tmp_path: Path) -> Fixed:
    """Return a function that fixes rows; its result has the new rows and the remaining findings."""

    def fix(rows: list[dict[str, Any]], **fixes: str) -> dict[str, Any]:
        upload(jsonl(*rows), "x.jsonl")
        do = {"operation": "fix", "fix": {"fixes": fixes}}
        job = Job.model_validate({"base": upload.output, "output": tmp_path / "fixed", "do": do})
        answer = execute(job)
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


def test_several_fixes_are_applied_together(fixed: Fixed) -> None:
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
def test_drop_removes_the_rows_of_a_finding(
    fixed: Fixed, report: Report, code: str, rows: list[dict[str, Any]]
) -> None:
    good = [chat(f"Question {n}", f"Answer {n}") for n in range(3)]
    assert "drop" in next(f for f in report(good + rows)["findings"] if f["code"] == code)["fixes"]
    answer = fixed([*good, *rows], **{code: "drop"})
    assert answer["rows"] == good
    assert code not in answer["codes"]


def test_mask_keeps_other_columns_and_missing_texts(fixed: Fixed) -> None:
    rows = [
        {"text": "to bob@gmail.com", "label": "a", "n": 1},
        {"text": None, "label": "b", "n": 2},
    ]
    answer = fixed(rows, personal_email="mask")
    assert answer["rows"] == [{**rows[0], "text": "to [EMAIL]"}, rows[1]]


def test_fixes_keep_other_keys_of_messages(fixed: Fixed) -> None:
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
def test_unknown_fix_is_refused(fixed: Fixed, fixes: dict[str, str]) -> None:
    with pytest.raises(MalformedData) as raised:
        fixed([chat("Who?", "Me.")], **fixes)
    assert raised.value.reason == "fix_unknown"


def test_dropping_all_rows_is_refused(fixed: Fixed) -> None:
    with pytest.raises(MalformedData) as raised:
        fixed([chat("Who?")], no_answer="drop")
    assert raised.value.reason == "no_rows_left"


@pytest.mark.parametrize(
    "text", ["Größe, “quoted” – café", "你好，世界。今天天气很好", "plain", "Привет"]
)
def test_repaired_keeps_undamaged_text(text: str) -> None:
    assert repair_encoding(text) == text


@pytest.mark.parametrize("written", ["latin-1", "cp1252", "gb18030"])
def test_repaired_undoes_a_wrong_decoding(written: str) -> None:
    text = "天气很好" if written == "gb18030" else "Größe und Übermut"
    assert repair_encoding(text.encode().decode(written)) == text


def test_stripped_keeps_markup_in_code() -> None:
    assert strip_markup("<b>Use</b> `<div>`:\n```\n<p>&amp;</p>\n```\n<i>ok</i>") == (
        "Use `<div>`:\n```\n<p>&amp;</p>\n```\nok"
    )


EVERY_TEXT_FIX = {
    "whitespace": "trim", "damaged_text": "repair", "markup": "strip", "personal_secret": "mask",
    "personal_email": "mask", "personal_phone": "mask", "unanswered": "trim",
}  # fmt: skip


class TestNestedValues:
    """Tests of fixes inside nested values, where only strings are changed."""

    ROWS: list[dict[str, Any]] = [
        {"id": 1, "meta": {"html": "<p>say &quot;x&quot;</p>", "n": [1, 2**70, 0.5, None, True]}},
        {"id": 2, "meta": {"password": "hunter2abc99xQ7", "user": "ann"}},
        {"id": 3, "meta": [" bob@gmail.com ", {"to": ["13812345678"]}]},
        {"id": 4, "meta": {"text": "Le cafÃ© Ã©tait fermÃ©"}},
        {"id": 5, "meta": {"<b>key</b>": 13812345678}},
        {"id": 6, "meta": None},
        {"id": 7, "meta": "just &lt;text&gt;"},
        {"id": 8, "meta": {"pem": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqh\n"}},
    ]

    def test_all_fixes_change_the_strings_of_findings(self, fixed: Fixed, report: Report) -> None:
        fixable = {"whitespace", "damaged_text", "markup", "personal_secret", "personal_email",
                    "personal_phone"}  # fmt: skip
        found = {f["code"]: f["count"] for f in report(self.ROWS)["findings"]}
        assert {code: found[code] for code in fixable & found.keys()} == {
            "whitespace": 2, "damaged_text": 1, "markup": 2, "personal_secret": 2,
            "personal_email": 1, "personal_phone": 1,
        }  # fmt: skip
        answer = fixed(self.ROWS, **EVERY_TEXT_FIX)
        assert [row["meta"] for row in answer["rows"]] == [
            {"html": 'say "x"', "n": [1, 2**70, 0.5, None, True]},
            {"password": "[SECRET]", "user": "ann"},
            ["[EMAIL]", {"to": ["[PHONE]"]}],
            {"text": "Le café était fermé"},
            {"<b>key</b>": 13812345678},
            None,
            "just <text>",
            {"pem": "[SECRET]"},
        ]
        assert answer["changed"] == 6
        assert not fixable & answer["codes"]

    def test_single_fix_changes_nothing_else(self, fixed: Fixed) -> None:
        rows = fixed(self.ROWS, personal_email="mask")["rows"]
        assert rows[2]["meta"] == [" [EMAIL] ", {"to": ["13812345678"]}]
        assert rows[:2] + rows[3:] == self.ROWS[:2] + self.ROWS[3:]

    def test_alpaca_history_is_fixed(self, fixed: Fixed) -> None:
        history = [["Mail <b>whom</b>?", 'To "bob@gmail.com"\n\n\n\n\nSoon']]
        row = {"instruction": "And?", "output": "Yes.", "history": history}
        [fixed_row] = fixed([row], **EVERY_TEXT_FIX)["rows"]
        assert fixed_row == {**row, "history": [["Mail whom?", 'To "[EMAIL]"\n\nSoon']]}

    def test_fix_nested_texts_keeps_the_text_of_unchanged_values(self) -> None:
        written = ['{"b": 1.50, "a": "x"}', '"\\u0041"', "12", None, '{"a":"<b>"}']
        column = pa.array(written, pa.string())
        left = fix_nested_texts(column, lambda text, _: text.replace("<b>", ""))
        assert left.to_pylist() == [*written[:4], '{"a":""}']

    JSON = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
        | st.sampled_from(
            ['<p>say &quot;x&quot;</p>', "hunter2abc99xQ7", "a\\", '"', "bob@gmail.com", "&#34;",
             "cafÃ©", "<br>", " x\n\n\n\n\n", "sk-abcdefghijklmnopqrstuvwx", '"password":"a1']
        ),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["password", "api_key", "<b>", "k"]), inner, max_size=3),
        max_leaves=8,
    )  # fmt: skip

    @given(st.lists(JSON, min_size=1, max_size=4))
    @settings(max_examples=60, deadline=None,
              suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
    def test_nested_values_keep_their_structure_after_all_fixes(
        self, fixed: Fixed, values: list[Any]
    ) -> None:
        rows = [{"n": n, "meta": value} for n, value in enumerate([{"k": 1}, *values])]
        left = fixed(rows, **EVERY_TEXT_FIX)["rows"]
        assert [row["n"] for row in left] == [row["n"] for row in rows]
        for before, after in zip(rows, left, strict=True):
            assert bare(after["meta"]) == bare(before["meta"])


def bare(value: Any) -> Any:
    """Return a nested value with all its strings replaced by empty ones."""
    match value:
        case str():
            return ""
        case list():
            return [bare(item) for item in value]
        case dict():
            return {key: bare(item) for key, item in value.items()}
    return value


def test_fixes_of_lists_the_possible_fixes() -> None:
    assert fixes_of("personal_email") == ("mask", "drop")
    assert fixes_of("unanswered") == ("trim", "drop")
    assert fixes_of("boilerplate") == ()
