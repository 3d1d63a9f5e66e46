"""Options for reading a file of rows. Options that are not given are detected."""

import json
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.strict import Strict

Column = Annotated[str, Field(min_length=1, max_length=255)]
ShapeColumn = Literal[
    "anchor", "chosen", "completion", "conversations", "history", "input", "instruction", "label",
    "messages", "negative", "output", "positive", "prompt", "rejected", "score", "sentence1",
    "sentence2", "system", "text",
]  # fmt: skip
"""The names of the columns from which shapes are recognised."""

ColumnMap = Annotated[dict[Column, ShapeColumn], Field(max_length=19)]
"""Names of the file's columns, mapped to the shape columns that they become."""

ColumnType = Literal["text", "integer", "number", "boolean", "date", "timestamp"]
"""The types that a column of a CSV file can have."""

ColumnTypes = Annotated[dict[Column, ColumnType], Field(max_length=2000)]
"""Names of the file's columns, mapped to the types of their values."""


class PreviousColumnTypes(Strict):
    """The column types of the version before the uploaded one.

    ``named`` are types that a user has chosen: they are kept, and a value that does not fit is
    refused. The other types are kept only if all values fit.
    """

    types: dict[str, str] = Field(default_factory=dict)
    named: ColumnTypes = Field(default_factory=dict)

    def arguments(self) -> list[str]:
        """Return the types as arguments for the program that reads files."""
        return [
            *([f"--previous-types={dumps(self.types)}"] if self.types else []),
            *([f"--explicit-types={dumps(self.named)}"] if self.named else []),
        ]


EncodingName = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "gbk", "big5", "shift-jis",
    "euc-kr", "latin-1", "windows-1252",
]  # fmt: skip

UploadMode = Literal["replace", "append", "upsert", "delete"]
"""The effect of incoming rows on the rows of the dataset."""

KEYED_MODES = frozenset({"upsert", "delete"})
"""Modes that match rows by a column."""

NO_QUOTE = "none"


class Reading(Strict):
    """A user's options for reading rows.

    ``delimiter``, ``quote``, ``header`` and ``types`` apply to CSV and TSV, ``encoding`` applies to
    any text format.
    """

    encoding: EncodingName | None = Field(None, description="of text; else it is recognised")
    delimiter: str | None = Field(
        None, min_length=1, max_length=3, description="of CSV: one character, or `tab`"
    )
    quote: str | None = Field(
        None, min_length=1, max_length=4, description="of CSV: one character, or `none`"
    )
    header: bool | None = Field(
        None, description="of CSV: false when the first record is a row; columns are then numbered"
    )
    map: ColumnMap = Field(
        default_factory=dict,
        description='columns and what they are, such as `{"question": "prompt"}`',
    )
    types: ColumnTypes = Field(
        default_factory=dict,
        description='of CSV: columns and their types, such as `{"zip": "text"}`; the others '
        "are typed by their values",
    )
    bad_rows: Literal["refuse", "quarantine"] = Field(
        "refuse",
        description="`quarantine` sets rows that can't be read aside, as long as they are few",
    )

    @field_validator("map", "types", mode="before")
    @classmethod
    def _decode_json(cls, value: object) -> object:
        """Decode JSON, because query strings and tus metadata contain mappings as JSON text."""
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("delimiter")
    @classmethod
    def _one_delimiter(cls, value: str | None) -> str | None:
        if value in {"tab", "\\t"}:
            return "\t"
        if value is not None and (len(value) != 1 or value in '\r\n\x00"'):
            raise ValueError("must be one character, or tab")
        return value

    @field_validator("quote")
    @classmethod
    def _one_quote(cls, value: str | None) -> str | None:
        if value is not None and value != NO_QUOTE and (len(value) != 1 or value in "\r\n\x00"):
            raise ValueError("must be one character, or none")
        return value

    @model_validator(mode="after")
    def _check_conflicts(self) -> Self:
        if self.delimiter is not None and self.delimiter == self.quote:
            raise ValueError("delimiter and quote must differ")
        twice = {name for name in self.map.values() if list(self.map.values()).count(name) > 1}
        if twice:
            raise ValueError(f"two columns can't both be {', '.join(sorted(twice))}")
        return self

    @property
    def csv_options(self) -> list[str]:
        """The given options that apply only to CSV."""
        given = [n for n in ("delimiter", "quote", "header") if getattr(self, n) is not None]
        return given + (["types"] if self.types else [])
