"""Tests of filtering and splitting rows."""

import random
from collections import Counter
from typing import Any

import pytest

from aiplatform.data.errors import MalformedData
from aiplatform.data.quality.references import Reference
from aiplatform.data.quality.report import make_report
from aiplatform.data.row_access import search
from tests.data.conftest import Do, Make, Rows, chat


class TestFilter:
    ROWS: Rows = [
        {"text": "Alpha beta", "n": 1, "ok": True, "m": {"deep": "needle"}},
        {"text": "gamma", "n": 5, "ok": False, "m": None},
        {"text": None, "n": None, "ok": None, "m": [1]},
        {"text": "", "n": -3, "ok": True, "m": None},
    ]

    @pytest.mark.parametrize(
        ("condition", "left"),
        [
            ({"column": "n", "op": ">", "value": 0}, [0, 1]),
            ({"column": "n", "op": "<=", "value": 1.5}, [0, 3]),
            ({"column": "n", "op": "!=", "value": 5}, [0, 2, 3]),
            ({"column": "n", "op": "in", "value": [5, -3]}, [1, 3]),
            ({"column": "n", "op": "not_in", "value": [5]}, [0, 2, 3]),
            ({"column": "ok", "op": "==", "value": True}, [0, 3]),
            ({"column": "text", "op": "contains", "value": "BETA"}, [0]),
            ({"column": "text", "op": "not_contains", "value": "a"}, [2, 3]),
            ({"column": "m", "op": "contains", "value": "needle"}, [0]),
            ({"column": "text", "op": "missing"}, [2]),
            ({"column": "text", "op": "present"}, [0, 1, 3]),
            ({"column": "text", "op": "min_length", "value": 1}, [0, 1]),
            ({"column": "text", "op": "max_length", "value": 5}, [1, 3]),
        ],
    )
    def test_filter_by_condition_keeps_or_drops_matching_rows(
        self, do: Do, condition: Any, left: list[int]
    ) -> None:
        kept = do(self.ROWS, "filter", filter={"where": [condition]})["rows"][0]
        assert kept == [self.ROWS[n] for n in left]
        dropped = do(self.ROWS, "filter", filter={"where": [condition], "drop": True})["rows"][0]
        assert dropped == [row for n, row in enumerate(self.ROWS) if n not in left]

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("n > 0", [0, 1]),
            ("n <= 1.5", [0, 3]),
            ("n != 5", [0, 3]),
            ("not n = 5", [0, 2, 3]),
            ("n in (5, -3)", [1, 3]),
            ("n not in [5]", [0, 2, 3]),
            ("ok = true", [0, 3]),
            ("ok != true", [1]),
            ('text contains "BETA" or m contains "needle"', [0]),
            ('text not_contains "a"', [2, 3]),
            ("text missing", [2]),
            ("text present and not (n > 0 and ok = true)", [1, 3]),
            ("text min_length 1", [0, 1]),
            ('"n" > 0 and `ok` = true', [0]),
        ],
    )
    def test_filter_by_text_keeps_matching_rows(self, do: Do, text: str, left: list[int]) -> None:
        kept = do(self.ROWS, "filter", filter={"where": [text]})["rows"][0]
        assert kept == [self.ROWS[n] for n in left]

    @pytest.mark.usefixtures("small_groups")
    def test_search_finds_rows_in_many_row_groups(self, make: Make) -> None:
        path = make([{"n": n, "x": n % 3} for n in range(100)])
        found = search(path, 0, 10, where=["n >= 42 and n < 44 and x present"], seconds=9)
        assert found.positions == [42, 43]
        assert search(path, 0, 10, where=["n = 99 or x = 7"], seconds=9).positions == [99]
        assert search(path, 0, 10, where=["not n < 98"], seconds=9).positions == [98, 99]

    def test_filter_by_conversation_searches_texts_and_counts_messages(self, do: Do) -> None:
        rows: Rows = [
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Y"}]},
            {"messages": []},
            {"messages": None},
            {"messages": [{"role": "user", "content": "z y"}]},
        ]
        where = [{"column": "messages", "op": "contains", "value": "y"}]
        assert do(rows, "filter", filter={"where": where})["rows"][0] == [rows[0], rows[3]]
        where = [{"column": "messages", "op": "min_length", "value": 2}]
        assert do(rows, "filter", filter={"where": where})["rows"][0] == [rows[0]]

    @pytest.mark.parametrize(
        "condition",
        [
            {"column": "no", "op": "==", "value": 1},
            {"column": "n", "op": "==", "value": "1"},
            {"column": "n", "op": ">", "value": 10**30},
            {"column": "text", "op": "<", "value": 1},
            {"column": "ok", "op": "==", "value": 1},
            {"column": "text", "op": "min_length", "value": "x"},
            {"column": "text", "op": "min_length", "value": 10**30},
            {"column": "text", "op": "==", "value": None},
        ],
    )
    def test_filter_by_invalid_condition_is_refused(self, do: Do, condition: Any) -> None:
        with pytest.raises(MalformedData):
            do(self.ROWS, "filter", filter={"where": [condition]})

    @pytest.mark.parametrize(
        ("held", "op", "value"),
        [
            (0.5, ">", 2**53 + 1),
            (0.5, "in", [1, 2**53 + 1]),
            (2**53 + 1, "<", 0.5),
            (2**53 + 1, "not_in", [0.5]),
        ],
    )
    def test_filter_comparing_inexact_integers_with_fractions_is_refused(
        self, do: Do, held: float, op: str, value: Any
    ) -> None:
        where = [{"column": "x", "op": op, "value": value}]
        with pytest.raises(MalformedData, match="x"):
            do([{"text": "a", "x": held}], "filter", filter={"where": where})


class TestSplit:
    def rows(self) -> Rows:
        return [{"text": f"t{n}", "label": "ab"[n % 4 == 0], "user": n // 3} for n in range(1200)]

    def test_split_depends_only_on_fractions_and_seed(self, do: Do) -> None:
        split = {"fractions": {"train": 0.9, "eval": 0.1}, "seed": 7}
        train, held = do(self.rows(), "split", split=split)["rows"]
        assert (len(train), len(held)) == (1080, 120)
        assert Counter(map(str, train + held)) == Counter(map(str, self.rows()))
        assert do(self.rows(), "split", split=split)["rows"] == [train, held]
        other = do(self.rows(), "split", split={**split, "seed": 8})["rows"]
        assert other[1] != held
        # The first rows must be the same in every release of the platform.
        assert [row["text"] for row in held[:5]] == ["t15", "t19", "t23", "t39", "t51"]

    def test_split_stratified_keeps_the_shares_of_labels(self, do: Do) -> None:
        split = {"fractions": {"a": 0.8, "b": 0.2}, "stratify": "label"}
        for part, share in zip(
            do(self.rows(), "split", split=split)["rows"], (0.8, 0.2), strict=True
        ):
            labels = Counter(row["label"] for row in part)
            assert labels == {"a": 900 * share, "b": 300 * share}

    def test_split_keeps_groups_together(self, do: Do) -> None:
        split = {"fractions": {"a": 0.5, "b": 0.3, "c": 0.2}, "group": "user"}
        parts = do(self.rows(), "split", split=split)["rows"]
        users = [{row["user"] for row in part} for part in parts]
        assert not users[0] & users[1]
        assert not users[1] & users[2]
        assert not users[0] & users[2]
        assert [len(part) for part in parts] == [600, 360, 240]

    @pytest.mark.parametrize("nested", [False, True])
    def test_split_distributes_rows_without_a_group_singly(self, do: Do, nested: bool) -> None:
        rows: Rows = [{"text": f"t{n}", "user": n // 3 if n < 300 else None} for n in range(1200)]
        rows += rows[-100:]
        for row in rows:
            if nested and row["user"] is not None:
                row["user"] = {"id": row["user"]}
        split = {"fractions": {"a": 0.5, "b": 0.3, "c": 0.2}, "group": "user", "seed": 3}
        parts = do(rows, "split", split=split)["rows"]
        assert [len(part) for part in parts] == pytest.approx([650, 390, 260], abs=2)
        alone = [[row["text"] for row in part if row["user"] is None] for part in parts]
        assert all(len(texts) > 100 for texts in alone)
        for column in "user", "text":
            held = [
                {str(row[column]) for row in part if column == "text" or row["user"] is not None}
                for part in parts
            ]
            assert not held[0] & held[1] | held[1] & held[2] | held[0] & held[2]

    def test_split_keeps_equal_rows_together(self, do: Do) -> None:
        rows = [{"text": f"t{n % 100}"} for n in range(1000)]
        train, held = do(rows, "split", split={"fractions": {"t": 0.9, "e": 0.1}})["rows"]
        assert not {row["text"] for row in train} & {row["text"] for row in held}

    def test_split_keeps_answers_to_one_question_together(self, do: Do) -> None:
        rows: Rows = [
            chat(f"u: {['What is', 'what  IS'][n % 2]} item {n // 4}?", f"a: It is {n}.")
            for n in range(400)
        ]
        split: dict[str, Any] = {"fractions": {"t": 0.8, "e": 0.2}}
        train, held = do(rows, "split", split=split)["rows"]
        asked = [
            {r["messages"][0]["content"].lower().split()[-1] for r in p} for p in (train, held)
        ]
        assert not asked[0] & asked[1]
        assert (len(train), len(held)) == (320, 80)
        apart = do(rows, "split", split={**split, "by": "row"})["rows"]
        asked = [{r["messages"][0]["content"].lower().split()[-1] for r in p} for p in apart]
        assert asked[0] & asked[1]

    def test_split_into_an_empty_part_suggests_to_split_by_row(self, do: Do) -> None:
        rows: Rows = [
            {"prompt": f"q {n // 2}", "completion": f"a{n}", "user": (n + 1) // 2 % 30}
            for n in range(120)
        ]
        # Users and questions overlap, so that they connect the rows to one or two large units.
        with pytest.raises(MalformedData, match="--by-row"):
            do(rows, "split", split={"fractions": {"t": 0.9, "e": 0.1}, "group": "user"})
        split = {"fractions": {"t": 0.9, "e": 0.1}, "group": "user", "by": "row"}
        train, held = do(rows, "split", split=split)["rows"]
        assert len(train) + len(held) == 120

    def test_split_of_a_table_distinguishes_rows_by_numbers(self, do: Do) -> None:
        rows: Rows = [{"species": "ab"[n % 2], "size": n / 10} for n in range(100)]
        train, held = do(rows, "split", split={"fractions": {"t": 0.8, "e": 0.2}})["rows"]
        assert (len(train), len(held)) == (80, 20)

    @pytest.mark.parametrize("kind", ["chat", "pairs", "label", "text", "alpaca", "preference"])
    def test_split_parts_pass_the_leakage_check(self, do: Do, make: Make, kind: str) -> None:
        draw = random.Random(20261127)
        words = [f"word{n}" for n in range(2000)]

        def row(question: str, answer: str) -> dict[str, Any]:
            return {
                "chat": chat(f"u: {question}", f"a: {answer}"),
                "pairs": {"prompt": question, "completion": answer},
                "label": {"text": question, "label": answer[-1]},
                "text": {"text": f"{question} {answer}"},
                "alpaca": {"instruction": question, "input": "", "output": answer},
                "preference": {"prompt": question, "chosen": answer, "rejected": "no"},
            }[kind]

        rows: Rows = []
        for _ in range(150):
            asked = draw.choices(words, k=30)
            for _ in range(draw.randint(1, 3)):
                text = " ".join(asked)
                rows.append(row(draw.choice([text, text.upper(), f"{text}?"]), f"a {len(rows)}"))
            edited = [*asked[:12], "edited", *asked[13:]]
            rows.append(row(" ".join(edited), f"a {len(rows)}"))
        draw.shuffle(rows)

        def leaked(**options: Any) -> set[str]:
            split = {"fractions": {"t": 0.7, "e": 0.3}, **options}
            train, held = do(rows, "split", split=split)["rows"]
            made = make_report(
                make(train),
                tokenizer=None,
                max_length=8,
                progress=lambda _: None,
                references=[Reference("held@v1", "evaluation", make(held))],
            )
            codes = {finding["code"] for finding in made["findings"]}
            return {code for code in codes if code.startswith("leakage")}

        assert leaked(near=True) == set()
        assert leaked() <= {"leakage_near"}
        assert leaked(by="row") & {"leakage_question", "leakage_near", "leakage_exact"}

    def test_split_of_too_few_units_is_refused(self, do: Do) -> None:
        rows = [{"text": "same"}] * 10
        with pytest.raises(MalformedData, match="would have no rows"):
            do(rows, "split", split={"fractions": {"t": 0.9, "e": 0.1}})
