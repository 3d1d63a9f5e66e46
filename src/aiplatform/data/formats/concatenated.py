"""Reader that presents several files as one, with their rows in the order of the files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pyarrow as pa

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.quarantine import Quarantine


class _Reader(Protocol):
    hint: pa.Schema | None

    def __iter__(self) -> Iterator[Chunk]: ...


class Concatenated:
    """A reader that reads several files in order; its errors contain the name of the file.

    Args:
        parts: Pairs of the name and the reader of each file.
        quarantine: Receives rows that can't be read.
    """

    def __init__(
        self, parts: Sequence[tuple[str, Any]], quarantine: Quarantine | None = None
    ) -> None:
        self.parts: Sequence[tuple[str, _Reader]] = parts
        self.quarantine = quarantine
        self._hint: pa.Schema | None = None
        self._current: _Reader | None = None

    @property
    def hint(self) -> pa.Schema | None:
        """Columns to expect; setting it also sets the hint of the current reader."""
        return self._hint

    @hint.setter
    def hint(self, value: pa.Schema | None) -> None:
        self._hint = value
        if self._current is not None:
            self._current.hint = value

    def __iter__(self) -> Iterator[Chunk]:
        for name, reader in self.parts:
            self._current = reader
            reader.hint = self._hint
            if self.quarantine is not None:
                self.quarantine.file = name
            try:
                for chunk in reader:
                    yield replace(chunk, file=name)
            except MalformedData as error:
                raise error.with_file(name) from error
