"""Quarantine for rows that can't be read: a JSONL file with their positions, reasons and text."""

from collections import Counter
from pathlib import Path
from typing import Any

from aiplatform.data.blobs import hash_file
from aiplatform.data.errors import MalformedData


class Quarantine:
    """A collection of rows that can't be read; if there are too many, the upload is refused.

    A file may be read twice; :meth:`restart` discards the rows from the first reading.

    Attributes:
        file: The name of the file that is being read, if there are several.

    Args:
        path: The JSONL file to write; it is kept only if a row was set aside.
        max_share: The share of all rows that may be bad, from 0 to 1. Even with 1, at least one row
            must be good.
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
        """The number of rows that were set aside."""
        return self.reasons.total()

    def add(self, error: MalformedData, raw: str) -> None:
        """Set a row aside, with its error and its raw text."""
        # Imported late, because pydantic is slow to import and most uploads have no bad rows.
        from aiplatform.protocol.encoding import dumps  # noqa: PLC0415

        if self.file is not None:
            error = error.with_file(self.file)
        self._first = self._first or error
        self.reasons[error.reason] += 1
        position = error.as_dict()
        del position["code"]
        self._file.write(dumps({**position, "raw": raw}).encode() + b"\n")

    def restart(self) -> None:
        """Discard all rows, because the file is being read again."""
        self.reasons.clear()
        self._first = None
        self._file.seek(0)
        self._file.truncate()

    def check_share(self, good: int) -> None:
        """Raise an error if too many rows are bad.

        Args:
            good: The number of good rows.

        Raises:
            MalformedData: too many rows are bad; the message gives their number and the first
                error.
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
        """Close the file and return a summary; None if no row was set aside.

        The summary contains the number of rows, in total and by reason, and the SHA-256 and size of
        the file.
        """
        self._file.close()
        if not self.rows:
            self.path.unlink()
            return None
        sha256, size = hash_file(self.path)
        reasons = dict(sorted(self.reasons.items()))
        return {"rows": self.rows, "reasons": reasons, "sha256": sha256, "size": size}

    def discard(self) -> None:
        """Close and delete the file, because the upload has failed."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def decode_escaped(raw: bytes) -> str:
    r"""Decode raw bytes as UTF-8; invalid bytes and NUL are escaped: ``\xff``."""
    return raw.decode("utf-8", "backslashreplace").replace("\x00", r"\x00")
