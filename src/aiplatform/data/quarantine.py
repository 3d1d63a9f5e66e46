"""Rows that can't be read, set aside: a JSONL of their places, the reasons, and their raw text."""

from collections import Counter
from pathlib import Path
from typing import Any

from aiplatform.data.blobs import hash_file
from aiplatform.data.errors import MalformedData


class Quarantine:
    """Takes bad rows, and judges in the end whether they are few enough.

    A file may be read twice, so :meth:`restart` forgets what the first reading brought.

    Attributes:
        file: the name of the file that is being read, where there are several.

    Args:
        path: the JSONL to write; it is there only if a row was set aside.
        max_share: of all rows, at most so many may be bad; 1 still asks for one good row.
    """

    def __init__(self, path: Path, max_share: float) -> None:
        self.path = path
        self.max_share = max_share
        self.reasons: Counter[str] = Counter()
        self.file: str | None = None
        self._first: MalformedData | None = None
        self._file = path.open("wb")

    @property
    def rows(self) -> int:
        """How many rows were set aside."""
        return self.reasons.total()

    def add(self, fault: MalformedData, raw: str) -> None:
        """Set a row aside for its fault."""
        # Late, as in json_text: most uploads have no bad rows.
        from aiplatform.protocol.encoding import dumps  # noqa: PLC0415

        if self.file is not None:
            fault = fault.inside(self.file)
        self._first = self._first or fault
        self.reasons[fault.reason] += 1
        place = fault.as_dict()
        del place["code"]
        self._file.write(dumps({**place, "raw": raw}).encode() + b"\n")

    def restart(self) -> None:
        """Forget everything: the file is read once more."""
        self.reasons.clear()
        self._first = None
        self._file.seek(0)
        self._file.truncate()

    def judge(self, good: int) -> None:
        """Refuse the file when too much of it is bad.

        Raises:
            MalformedData: it tells how much, and the first fault.
        """
        if self._first is None:
            return
        total = self.rows + good
        if not good or self.rows > self.max_share * total:
            raise MalformedData(
                "too_many_bad",
                bad=self.rows,
                rows=total,
                limit=f"{self.max_share:.2%}",
                first=self._first.words,
            )

    def close(self) -> dict[str, Any] | None:
        """What was set aside: rows, how many for which reason, SHA-256 and bytes of the file."""
        self._file.close()
        if not self.rows:
            self.path.unlink()
            return None
        sha256, size = hash_file(self.path)
        reasons = dict(sorted(self.reasons.items()))
        return {"rows": self.rows, "reasons": reasons, "sha256": sha256, "size": size}

    def discard(self) -> None:
        """Nothing came of it."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def shown(raw: bytes) -> str:
    r"""Raw bytes as text; bytes that are none, and NUL, are escaped: ``\xff``."""
    return raw.decode("utf-8", "backslashreplace").replace("\x00", r"\x00")
