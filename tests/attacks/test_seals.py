"""Attack: forged and truncated seals. Verification must report them without crashing."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aiplatform.server.audit.rules.chain import Seal, head_of
from aiplatform.server.audit.rules.findings import Kind
from aiplatform.server.audit.rules.signatures import make_key, read_public
from aiplatform.server.audit.service import sealing
from aiplatform.server.audit.service.file_verification import verify_file
from aiplatform.server.audit.service.verification import verify_database
from tests.server.audit.conftest import superuser, url
from tests.server.audit.helpers import edit, seal, write, write_seals, write_selection

__all__ = ["superuser", "url"]  # fixtures

pytestmark = pytest.mark.usefixtures("fresh_database")

Change = Callable[[dict[str, Any]], object]


def forge_seal(change: Change) -> Callable[[list[str]], None]:
    """Return a function that applies ``change`` to the first seal in the lines of a file."""

    def apply(found: list[str]) -> None:
        at = next(i for i, line in enumerate(found) if line.startswith('{"seal"'))
        seal_data = json.loads(found[at])["seal"]
        change(seal_data)
        found[at] = json.dumps({"seal": seal_data})

    return apply


def claim_every_number(seal_data: dict[str, Any]) -> None:
    """Make the seal cover all 2**32 possible row numbers, with a matching hash."""
    whole = (-(2**31), 2**31 - 1)
    root, previous = bytes.fromhex(seal_data["root"]), bytes.fromhex(seal_data["previous"])
    seal_data["ids"] = f"{whole[0]}..{whole[1]}"
    seal_data["head"] = head_of(
        seal_data["id"], seal_data["sealed_at"], [whole], root, previous
    ).hex()


FORGED_SEALS: dict[str, Change] = {
    "infinite number": lambda seal_data: seal_data.update(id=float("inf")),
    "number that is NaN": lambda seal_data: seal_data.update(id=float("nan")),
    "number of 5,000 digits": lambda seal_data: seal_data.update(id="9" * 5000),
    "every possible number": claim_every_number,
    "runs backwards": lambda seal_data: seal_data.update(ids="9..1"),
    "runs without end": lambda seal_data: seal_data.update(ids="1.."),
    "runs that are a list": lambda seal_data: seal_data.update(ids=[1, 2]),
    "no runs": lambda seal_data: seal_data.update(ids=""),
    "half a root": lambda seal_data: seal_data.update(root=seal_data["root"][:32]),
    "root of no hexadecimal digits": lambda seal_data: seal_data.update(root="z" * 64),
    "head that is empty": lambda seal_data: seal_data.update(head=""),
    "signatures that are a number": lambda seal_data: seal_data.update(signatures=7),
    "signature that is empty": lambda seal_data: seal_data.update(
        signatures=[{"key": "k", "signature": None}]
    ),
    "surrogate for a time": lambda seal_data: seal_data.update(sealed_at="\ud800"),
    "negative number": lambda seal_data: seal_data.update(id=-1),
    "no field at all": lambda seal_data: seal_data.clear(),
}


@pytest.mark.parametrize("kind", ["seals", "selection"])
@pytest.mark.parametrize("name", FORGED_SEALS)
def test_file_with_forged_seal_is_reported(tmp_path: Path, kind: str, name: str) -> None:
    write(6)
    seal(max_rows=3)
    path = tmp_path / "f"
    write_seals(path, 1, 2) if kind == "seals" else write_selection(path)
    assert verify_file(path).is_intact
    assert not verify_file(edit(path, forge_seal(FORGED_SEALS[name]))).is_intact


def test_seal_with_truncated_leaves_is_reported(tmp_path: Path) -> None:
    write(6)
    seal(max_rows=3)
    for leaves in ("", "AAAA", 7, None, "\u00e9"):
        path = write_seals(tmp_path / "f", 1, 2)
        edit(path, forge_seal(partial(dict.update, leaves=leaves)))
        assert not verify_file(path).is_intact, leaves


@pytest.mark.parametrize(
    "field",
    [{"row": float("inf")}, {"seal": float("-inf")}, {"index": 1e999}, {"index": -1}, {"path": 1}],
    ids=str,
)
def test_forged_proof_is_reported(tmp_path: Path, field: dict[str, Any]) -> None:
    write(3)
    seal()
    path = write_selection(tmp_path / "f")

    def apply(found: list[str]) -> None:
        at = next(i for i, line in enumerate(found) if line.startswith('{"proof"'))
        found[at] = json.dumps({"proof": json.loads(found[at])["proof"] | field})

    assert not verify_file(edit(path, apply)).is_intact


def test_altered_row_without_its_proof_is_reported(tmp_path: Path) -> None:
    """Remove the proof, so that the row looks unsealed although the seal covers its number."""
    rows = write(4)
    seal()
    path = write_selection(tmp_path / "f", action="dataset:")

    def apply(found: list[str]) -> None:
        at = next(i for i, line in enumerate(found) if line.startswith(f'{{"id": {rows[1]},'))
        found[at] = found[at].replace('"success"', '"denied"')
        del found[at + 1]

    verdict = verify_file(edit(path, apply))
    assert [(each.kind, each.row) for each in verdict.findings] == [(Kind.ALTERED, rows[1])]


@pytest.mark.parametrize("filters", [None, 1, "drop"], ids=str)
def test_selection_without_valid_filters_is_reported(tmp_path: Path, filters: Any) -> None:
    """Forge the filters, so that an incomplete selection could pass for the whole trail."""
    rows = write(4)
    seal()
    path = write_selection(tmp_path / "f")

    def apply(found: list[str]) -> None:
        header = json.loads(found[0])
        header["filters"] = filters
        if filters == "drop":
            del header["filters"]
        at = next(i for i, line in enumerate(found) if line.startswith(f'{{"id": {rows[1]},'))
        found[0] = json.dumps(header)
        del found[at : at + 2]
        found[:] = [line.replace('{"rows": 4,', '{"rows": 3,') for line in found]

    assert not verify_file(edit(path, apply)).is_intact


@pytest.mark.parametrize("kind", ["", "other", None, 1], ids=str)
def test_file_of_unknown_kind_is_reported(tmp_path: Path, kind: Any) -> None:
    write(2)
    seal()
    path = write_seals(tmp_path / "f", 1, 1)

    def apply(found: list[str]) -> None:
        found[0] = json.dumps(json.loads(found[0]) | {"kind": kind})

    assert not verify_file(edit(path, apply)).is_intact


def test_file_cut_at_any_byte_is_reported(tmp_path: Path) -> None:
    write(2)
    seal()
    whole = write_seals(tmp_path / "f", 1, 1).read_bytes()
    packed = gzip.compress(whole)
    path = tmp_path / "cut"
    for content in (whole.rstrip(b"\n"), packed):
        for length in range(0, len(content), 7):
            path.write_bytes(content[:length])
            assert not verify_file(path).is_intact, length


def test_seal_of_another_trail_is_reported(tmp_path: Path) -> None:
    """Replace a seal with one that is valid in itself but does not follow the seal before it."""
    write(4)
    seal(max_rows=2)
    path = write_seals(tmp_path / "f", 1, 2)
    alien = Seal.create(
        2, "2026-01-01T00:00:00.000000Z", [(3, bytes(32)), (4, bytes(32))], bytes(32)
    )

    def apply(found: list[str]) -> None:
        at = max(i for i, line in enumerate(found) if line.startswith('{"seal"'))
        seal_data = json.loads(found[at])["seal"]
        seal_data.update(
            root=alien.root.hex(), previous=alien.previous.hex(), head=alien.head.hex()
        )
        found[at] = json.dumps({"seal": seal_data})

    verdict = verify_file(edit(path, apply))
    assert Kind.SEAL_ALTERED in {each.kind for each in verdict.findings}


DATABASE_FORGERIES = {
    "leaves cut off": "UPDATE audit_seals SET leaves = substr(leaves, 1, 40) WHERE id = 2",
    "leaves too many": "UPDATE audit_seals SET leaves = leaves || leaves WHERE id = 2",
    "runs without end": "UPDATE audit_seals SET ids = '{{[1,)}}' WHERE id = 2",
    "runs without beginning": "UPDATE audit_seals SET ids = '{{(,5)}}' WHERE id = 2",
    "infinite time of a seal": "UPDATE audit_seals SET sealed_at = 'infinity' WHERE id = 2",
    "time of a seal before Christ": "UPDATE audit_seals SET sealed_at = '0044-03-15 BC'"
    " WHERE id = 2",
    "infinite time of a row": "UPDATE audit_logs SET created_at = 'infinity' WHERE id = {row}",
    "row before Christ": "UPDATE audit_logs SET created_at = '0044-03-15 BC' WHERE id = {row}",
    "infinite time of an unsealed row": "INSERT INTO audit_logs (id, action, created_at)"
    " VALUES (99999, 'x', '-infinity')",
    "head of another seal": "UPDATE audit_seals SET head = sha256(head) WHERE id = 2",
    "seal moved to the end": "UPDATE audit_seals SET id = 9 WHERE id = 2",
    "empty trail of seals": "TRUNCATE audit_seals CASCADE",
    "seals and queue emptied": "TRUNCATE audit_seals, audit_unsealed CASCADE",
    "entries emptied": "TRUNCATE audit_entries",
    "archive that is not there": "INSERT INTO blobs (sha256, size) VALUES ('{digest}', 1);"
    " INSERT INTO audit_archives (first_seal, last_seal, rows, sha256, size, pruned_at)"
    " VALUES (2, 2, 2, '{digest}', 1, now()); DELETE FROM audit_logs WHERE id = {row}",
}


@pytest.mark.parametrize("name", DATABASE_FORGERIES)
def test_forged_seal_in_the_database_is_reported(
    url: str, superuser: Any, tmp_path: Path, name: str
) -> None:
    rows = write(6)
    private, public = make_key()
    key = tmp_path / "key"
    key.write_bytes(private)
    sealing.seal_all(key, max_rows=2)

    def archived(digest: str) -> Any:
        raise FileNotFoundError(digest)

    keys = [read_public(public)]
    assert verify_database(url, keys=keys, archived=archived).is_intact
    superuser.execute(DATABASE_FORGERIES[name].format(row=rows[2], digest="0" * 64))
    assert not verify_database(url, keys=keys, archived=archived).is_intact
