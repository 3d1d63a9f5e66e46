"""Attack: formulas in CSV files that are downloaded and opened in a spreadsheet."""

import csv
import io
import json
from typing import Any

import pytest

from tests.conftest import Api
from tests.matrix.world import World
from tests.openapi_checks import CheckedClient

FORMULAS = (
    "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1+1)", "=HYPERLINK(\"http://x\")",
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "＝1+1", "a;=1+1;b", "a\t=1+1", "a,=1+1",
    "a\n=1+1", "a; -2+cmd|' /C calc'!A0",
)  # fmt: skip
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def cells(text: str) -> list[str]:
    """Return the cells of a CSV file, split by each delimiter that a spreadsheet may use."""
    return [
        cell
        for delimiter in ",;\t"
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for cell in row
    ]


def is_formula(cell: str) -> bool:
    """Return True if any spreadsheet would run the cell; some of them ignore leading spaces."""
    return cell.lstrip(" ").startswith(FORMULA_STARTS) and not is_number(cell)


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


class TestFormulas:
    def test_formulas_in_rows_and_column_names_are_escaped(self, owner: Api, world: World) -> None:
        rows = [{"text": formula, formula: "x", "n": -1} for formula in FORMULAS]
        made = owner.post(
            f"projects/{world.params['project']}/datasets",
            params={"name": "formulas", "filename": "rows.jsonl"},
            content="".join(json.dumps(row) + "\n" for row in rows).encode(),
        )
        assert made.status_code == 201, made.text
        where = f"datasets/{made.json()['uuid']}/versions/v1/content"
        table = owner.get(where, params={"format": "csv"}).content.decode("utf-8-sig")
        assert any("cmd" in cell for cell in cells(table))
        assert [cell for cell in cells(table) if is_formula(cell)] == []

    @pytest.mark.parametrize("formula", FORMULAS)
    def test_formulas_of_strangers_in_audit_export_are_escaped(
        self, client: CheckedClient, world: World, formula: str
    ) -> None:
        form: dict[str, Any] = {"username": formula, "password": "x", "grant_type": "password"}
        agent = {"User-Agent": formula.strip().encode("utf-8")}
        client.post("/api/v1/auth/token", data=form, headers=agent)
        admin = Api(client, world.tokens["admin"])
        params = {"format": "csv", "action": "auth:login_failed"}
        found = admin.get("audit/export", params=params)
        if formula.isascii():  # a header contains only ASCII
            assert formula.strip()[:4] in found.text.replace("'", "")
        assert [cell for cell in cells(found.text.removeprefix("\ufeff")) if is_formula(cell)] == []
