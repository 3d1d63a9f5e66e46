"""Tests of checks for damaged text, markup, refusals, repeated answers and rare labels."""

from typing import Any

import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.quality.damage import around_marks, is_damaged
from aiplatform.data.quality.markup import find_markup
from aiplatform.data.quality.refusals import REFUSAL
from tests.data.quality.conftest import Report, found


def wrongly(text: str, written: str, read: str) -> str:
    return text.encode(written).decode(read, "replace")


@pytest.mark.parametrize(
    "text",
    [
        wrongly("Le café était très fermé", "utf-8", "latin-1"),
        wrongly("“Smart quotes” – and dashes…", "utf-8", "cp1252"),
        wrongly("你好，世界。今天天气很好", "utf-8", "gb18030"),
        wrongly("你好，世界", "gb18030", "utf-8"),
        wrongly("Größe und Übermut", "utf-8", "cp1252"),
        "锟斤拷锟斤拷",
        "lost \ufffd here",
    ],
)
def test_is_damaged_finds_damage(text: str) -> None:
    assert is_damaged(text)


MARKED = st.one_of(
    st.sampled_from("".join(MOJIBAKE_CATEGORIES.values()).replace("\\", "")),
    st.sampled_from("abzAZ  .,?!\n19中文汉ÂÃàВГРСвЂāÎÐØÙΒΓΞΟβ×√≈‚€™°±∂ŒœŸŽ"),
)


@given(st.text(MARKED, max_size=16))
@settings(max_examples=500, deadline=None)
def test_around_marks_is_bad_exactly_if_the_whole_text_is(text: str) -> None:
    assert any(map(is_bad, around_marks(text))) == is_bad(text)


@pytest.mark.parametrize(
    "text",
    [
        "Le café était très fermé à Noël; größer; señor; Łódź",
        "“Smart quotes” – and dashes… 50 €, ™, ©, ×, ½",
        "你好，世界。今天天气很好，我们去公园散步吧！",
        "日本語のテキスト。カタカナも。",
        "Привет, мир! 안녕하세요",
        "plain",
    ],
)
def test_is_damaged_accepts_undamaged_text(text: str) -> None:
    assert not is_damaged(text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("<p>Hello</p>", True),
        ("one<br/>two", True),
        ("Tom &amp; Jerry&nbsp;", True),
        ('<a href="x">link</a>', True),
        ("if a < b and c > d: x", False),
        ("List<String> and vector<int>", False),
        ("Use `<div>` for blocks.", False),
        ("```html\n<p>Hello</p>\n```", False),
        ("AT&T; R&D", False),
    ],
)
def test_find_markup_ignores_code(text: str, seen: bool) -> None:
    assert (find_markup(text) is not None) == seen


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot provide medical advice.", True),
        ("As an AI language model, I do not have feelings.", True),
        ("很抱歉，我无法回答这个问题。", True),
        ("作为一个人工智能语言模型，我不能提供投资建议。", True),
        ("I'm sorry to hear that. Have you tried restarting?", False),
        ("You cannot divide by zero.", False),
        ("As an airline pilot, I fly.", False),
        ("抱歉让你久等了，答案是四。", False),
        ("人不能两次踏进同一条河流。", False),
    ],
)
def test_refusal_pattern_matches_refusals_only(text: str, refuses: bool) -> None:
    assert bool(REFUSAL.search(text)) == refuses


def chat(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def test_refusal_in_a_question_is_ignored(report: Report) -> None:
    rows = [chat("I'm sorry, but I can't sleep.", "Try tea."), chat("Why?", "I can't help you.")]
    finding = found(report(rows), "refusals")
    assert (finding["count"], finding["examples"][0]["row"]) == (1, 1)


def test_repeated_answer_is_found(report: Report) -> None:
    rows = [chat(f"Question {n}?", "Please  ask our hotline.") for n in range(12)]
    rows += [chat(f"Other {n}?", f"Answer {n}.") for n in range(12)]
    finding = found(report(rows), "repeated_answers")
    assert finding["count"] == 12
    assert finding["examples"] == [{"row": 0, "text": "12 rows give this answer"}]


def test_copies_of_a_row_are_no_repeated_answers(report: Report) -> None:
    codes = [f["code"] for f in report([chat("Who?", "Me.")] * 30)["findings"]]
    assert "repeated_answers" not in codes


def test_scarce_label_is_found(report: Report) -> None:
    rows = [{"text": f"good thing {n}", "label": "good"} for n in range(60)]
    rows += [{"text": f"bad thing {n}", "label": "bad"} for n in range(40)]
    rows.insert(50, {"text": "odd", "label": "odd"})
    made = report(rows)
    finding = found(made, "label_imbalance")
    assert (finding["count"], finding["column"], finding["fixes"]) == (1, "label", ["rebalance"])
    assert finding["examples"] == [{"row": 50, "text": "odd"}]
    assert "odd (1)" in finding["message"]
    assert made["labels"][0] == {"label": "good", "rows": 60}
