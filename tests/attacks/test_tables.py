"""Formulas in what is downloaded as a table and opened in a spreadsheet."""

import csv
import io
import json
from typing import Any

import pytest

from tests.conftest import Api
from tests.described import CheckedClient
from tests.matrix.world import World

FORMULAS = (
    "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1+1)", "=HYPERLINK(\"http://x\")",
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "＝1+1", "a;=1+1;b", "a\t=1+1", "a,=1+1",
    "a\n=1+1", "a; -2+cmd|' /C calc'!A0",
)  # fmt: skip
RUNS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def cells(text: str) -> list[str]:
    """As spreadsheets read them: what parts cells depends on the country, and on who opens it."""
    return [
        cell
        for delimiter in ",;\t"
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for cell in row
    ]


def runs(cell: str) -> bool:
    """Whether a spreadsheet would take the cell for a formula; some trim it first."""
    return cell.lstrip(" ").startswith(RUNS) and not is_number(cell)


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


class TestFormulas:
    def test_in_rows_and_names_of_columns(self, owner: Api, world: World) -> None:
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
        assert [cell for cell in cells(table) if runs(cell)] == []

    @pytest.mark.parametrize("formula", FORMULAS)
    def test_in_what_strangers_put_on_record(
        self, client: CheckedClient, world: World, formula: str
    ) -> None:
        form: dict[str, Any] = {"username": formula, "password": "x", "grant_type": "password"}
        agent = {"User-Agent": formula.strip().encode("utf-8")}
        client.post("/api/v1/auth/token", data=form, headers=agent)
        admin = Api(client, world.tokens["admin"])
        params = {"format": "csv", "action": "auth:login_failed"}
        found = admin.get("audit/export", params=params)
        if formula.isascii():  # as headers are
            assert formula.strip()[:4] in found.text.replace("'", "")
        assert [cell for cell in cells(found.text.removeprefix("\ufeff")) if runs(cell)] == []
