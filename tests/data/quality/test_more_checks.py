"""Tests of fixes, and of checks for labels, mixed types, writing systems, spaces and phrases."""

import random
from typing import Any

import numpy as np
import pytest

from aiplatform.data.quality.label_errors import off_diagonal
from aiplatform.data.quality.whitespace import tidy_white_space
from tests.data.conftest import chat
from tests.data.quality.conftest import Report, codes, found
from tests.data.quality.test_fixes import Fixed, fixed  # noqa: F401  (a fixture)

TOPICS = {
    "pets": "cat dog hamster fur paw leash kennel purr bark vet litter whiskers".split(),  # noqa: SIM905
    "cars": "engine wheel brake clutch gear tyre fuel exhaust bonnet axle piston oil".split(),  # noqa: SIM905
    "food": "soup bread butter oven salt pepper onion stew plate fork roast sauce".split(),  # noqa: SIM905
}


def labelled(count: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        label = list(TOPICS)[number % 3]
        rows.append({"text": " ".join(rng.choices(TOPICS[label], k=9)), "label": label})
    return rows


def test_wrong_labels_are_found(report: Report) -> None:
    rows = labelled(300)
    for row in (10, 51, 92):
        rows[row]["label"] = "food" if rows[row]["label"] != "food" else "pets"
    finding = found(report(rows), "label_errors")
    assert (finding["count"], finding["fixes"]) == (3, ["drop"])
    assert {example["row"] for example in finding["examples"]} == {10, 51, 92}
    assert "→" in finding["examples"][0]["text"]


def test_correct_or_random_labels_have_no_finding(report: Report) -> None:
    rows = labelled(300)
    assert "label_errors" not in codes(report(rows))
    rng = random.Random(3)
    for row in rows:
        row["label"] = rng.choice(list(TOPICS))
    assert "label_errors" not in codes(report(rows))


def test_off_diagonal_finds_rows_with_another_confident_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.95, 0.05]])
    labels = np.array([0, 0, 1, 1, 1])
    # In the rows labelled 0, label 0 has an average probability of 0.8. In the last row, which is
    # labelled 1, it has 0.95.
    wrong, meant = off_diagonal(probabilities, labels)
    assert (wrong.tolist(), meant.tolist()) == ([4], [0])


def test_rebalance_drops_rows_of_frequent_labels(fixed: Fixed) -> None:  # noqa: F811
    counts = {"a": 700, "b": 20, "c": 3}
    labels = [label for label in counts for _ in range(counts[label])]
    rows = [{"text": f"{label} {n}", "label": label} for n, label in enumerate(labels)]
    answer = fixed(rows, label_imbalance="rebalance")
    left = [row["label"] for row in answer["rows"]]
    # At most ten times the 20 rows of b are kept; c is too small to count as the rarest label.
    assert {label: left.count(label) for label in "abc"} == {"a": 200, "b": 20, "c": 3}
    assert answer["deleted"] == 500
    assert fixed(rows, label_imbalance="rebalance")["rows"] == answer["rows"]


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        (" around\n", "around"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("a\n \n\t\n\n\nb", "a\n\nb"),
        ("a\n\n\nb", "a\n\n\nb"),
    ],
)
def test_white_space_is_found_and_tidied(report: Report, text: str, tidy: str) -> None:
    assert tidy_white_space(text) == tidy
    assert ("whitespace" in codes(report([chat("u: x", f"a:{text}")]))) == (text != tidy)


def test_white_space_fix_keeps_all_turns(fixed: Fixed) -> None:  # noqa: F811
    answer = fixed([chat("u: hi ", "a: hello\n", "u: and?")], whitespace="trim")
    assert answer["rows"] == [chat("u: hi", "a: hello", "u: and?")]
    assert answer["codes"] == {"unanswered"}


def test_values_of_another_type_are_found(report: Report) -> None:
    rows = [{"text": f"t {n}", "score": n} for n in range(8)]
    rows[3]["score"] = "high"  # type: ignore[assignment]
    rows[5]["score"] = [1]  # type: ignore[assignment]
    finding = found(report(rows), "mixed_types")
    assert (finding["column"], finding["count"], finding["severity"]) == ("score", 2, "info")
    assert [example["row"] for example in finding["examples"]] == [3, 5]
    assert "have the type number" in finding["message"]


def test_text_in_two_scripts_is_found(report: Report) -> None:
    english = "Then we walked along the river for hours and talked about the weather. "
    chinese = "然后我们沿着河边走了几个小时，谈论天气和工作，还有明天要做的许多事情。"
    rows = [
        chat("u: 说说", f"a: {chinese}{english * 3}"),
        chat("u: 写代码", f"a: {chinese}\n```python\n{english * 6}\n```"),
        chat("u: 说说", f"a: {chinese * 3}OK, GPU and API."),
        chat("u: tell", f"a: {english * 3}"),
    ]
    made = report(rows)
    finding = found(made, "language_switches")
    assert (finding["count"], finding["examples"][0]["row"]) == (1, 0)


def test_phrase_at_the_beginning_of_many_answers_is_found(report: Report) -> None:
    phrase = "Thank you very much for this excellent question! "
    answers = [f"{phrase}Here is number {n}, explained at length: {n * 7}." for n in range(25)]
    answers += [f"{n} things are to be said of the number {n * n} as it is." for n in range(25)]
    rows = [chat(f"u: Question {n}?", f"a: {answer}") for n, answer in enumerate(answers)]
    finding = found(report(rows), "boilerplate")
    assert (finding["count"], finding["fixes"]) == (25, [])
    assert finding["examples"][0]["text"].startswith("beginning of 25 answers: Thank you very much")


def test_groups_of_near_duplicates_are_shown(report: Report) -> None:
    rng = random.Random(5)
    texts = [" ".join(rng.choices([f"w{n}" for n in range(500)], k=40)) for _ in range(4)]
    rows = [{"text": f"{text} {n}"} for text in texts for n in range(2)]
    rows.append({"text": f"{texts[2]} 7"})
    assert found(report(rows), "near_duplicates")["groups"][:2] == [[4, 5, 8], [0, 1]]
