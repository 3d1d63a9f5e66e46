"""Column types for CSV and TSV files, decided from all values of a column.

CSV has no types. :class:`Evidence` collects, chunk by chunk, which types all values of a column
have in common; the outcome does not depend on how the rows were cut into chunks. A column gets a
type other than text only if no value would lose anything but its spelling: ``007``, ``+49 170
1234567`` and numbers of more than 15 digits stay text. Dates and times are stored as text, as
written in the file; the canonical schema names those columns (see
:func:`~aiplatform.data.canonical.dated_columns`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.column_kinds import Kind
from aiplatform.protocol.enums import DataFormat

UNTYPED = frozenset({DataFormat.CSV, DataFormat.TSV})
"""Formats in which every value is text."""

NULL_WORDS = ("", "NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "None", "NaN", "nan")
"""Words that stand for a missing value in columns of numbers, booleans, dates or times."""

INTEGER = r"^(?:0|-?[1-9][0-9]{0,14})$"
LONG_INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
"""Pattern of integers that fit in 64 bits; read as numbers only in a column known to be numeric."""

NUMBER = r"^-?(?:(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{0,25})?|\.[0-9]{1,25})(?:[eE][+-]?[0-9]{1,2})?$"
BOOLEAN = r"^(?:true|false|True|False|TRUE|FALSE)$"
DATE = r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$"
_TIME = r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
LOCAL_TIME = rf"{DATE[:-1]}(?:{_TIME})?$"
ZONED_TIME = rf"{DATE[:-1]}{_TIME}(?:Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])$"

PHONE = r"^(?:1[3-9][0-9]{9}|1?[2-9][0-9]{2}[2-9][0-9]{6})$"
"""Pattern of Chinese mobile numbers and North American numbers without separators."""

TEXT_NAMES = frozenset(
    "account_number ean fax gtin iban id_card id_number isbn mobile phone phone_number "  # noqa: SIM905
    "phonenumber plz post_code postal_code postalcode postcode sku ssn tel telephone ver version "
    "zip zip_code zipcode 传真 手机 手机号 手机号码 电话 电话号码 版本 版本号 身份证 身份证号 "
    "邮政编码 邮编".split()
)
"""Names of columns whose digits are not numbers: phone numbers, codes, versions such as 1.10."""

GIVEN_TYPES = {
    Kind.INT: r"^[+-]?[0-9]{1,18}$",
    Kind.FLOAT: r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$",
    Kind.BOOL: r"^(?i:true|false|yes|no|t|f|y|n|1|0)$",
}
"""Patterns of values that fit a type set by the uploader; they allow more than inference does."""

UTC_TIME = pa.timestamp("us", "UTC")
_MOMENTS = {"date": pa.date32(), "local_time": pa.timestamp("us"), "zoned_time": UTC_TIME}

TRUE_WORDS = ("true", "yes", "t", "y", "1")

_PATTERNS: dict[str, str] = {
    "boolean": BOOLEAN,
    "integer": INTEGER,
    "long_integer": LONG_INTEGER,
    "number": NUMBER,
    "date": DATE,
    "local_time": LOCAL_TIME,
    "zoned_time": ZONED_TIME,
}

BY_LABEL = {
    "text": Kind.STRING,
    "integer": Kind.INT,
    "number": Kind.FLOAT,
    "boolean": Kind.BOOL,
    "date": Kind.DATE,
    "timestamp": Kind.TIMESTAMP,
}
"""Types that an uploader can set, and that a column keeps from version to version."""


def boolean_word(text: str) -> bool | None:
    """Return True if a text is a boolean, False if not, and None if it is one of the null words."""
    word = text.strip()
    return None if word in NULL_WORDS else re.match(BOOLEAN, word) is not None


def without_null_words(texts: pa.Array) -> pa.Array:
    """Strip the texts, and replace null words with null."""
    trimmed = pc.utf8_trim_whitespace(texts)
    missing = pc.is_in(trimmed, pa.array(NULL_WORDS))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


@dataclass(slots=True)
class Evidence:
    """A summary of all values of a column seen so far, from which its type is decided.

    Attributes:
        possible: Names in :data:`_PATTERNS` that every value fits.
        values: Number of values, without null words.
        phones: Number of values that look like telephone numbers.
        any_text: True if any field was not empty, even if it was a null word.
    """

    possible: set[str] = field(default_factory=lambda: set(_PATTERNS))
    values: int = 0
    phones: int = 0
    any_text: bool = False

    def add(self, texts: pa.Array) -> None:
        """Add values of the column to the summary."""
        self.any_text = self.any_text or texts.null_count < len(texts)
        if not self.possible:
            return
        found = without_null_words(texts).drop_null()
        if not len(found):
            return
        self.values += len(found)
        for name in sorted(self.possible):
            if not _all_fit(found, name):
                self.possible.discard(name)
        if "integer" in self.possible:
            self.phones += int(pc.sum(pc.match_substring_regex(found, PHONE)).as_py())

    def decide(self, name: str, previous: str | None = None) -> Kind:
        """Return the kind of the column.

        Args:
            name: The name of the column.
            previous: The type of the column with this name in the previous version, if there is
                one.
        """
        if previous is not None and previous in BY_LABEL:
            kept = self._kept(BY_LABEL[previous])
            if kept is not None:
                return kept
        return self._inferred(name)

    def _kept(self, previous: Kind) -> Kind | None:
        if previous is Kind.STRING:
            return previous if self.any_text else Kind.NULL
        return previous if self.fits(previous) else None

    def fits(self, kind: Kind) -> bool:
        """Return True if a column of ``kind`` would keep everything but the spelling of values."""
        fits = {
            Kind.BOOL: "boolean" in self.possible,
            Kind.INT: "long_integer" in self.possible,
            Kind.FLOAT: "number" in self.possible,
            Kind.DATE: "date" in self.possible,
            Kind.TIMESTAMP: bool({"local_time", "zoned_time"} & self.possible),
        }
        return not self.values or fits[kind]

    def _inferred(self, name: str) -> Kind:
        if not self.any_text:
            return Kind.NULL
        if not self.values or name.strip().lower() in TEXT_NAMES:
            return Kind.STRING
        if "boolean" in self.possible:
            return Kind.BOOL
        if "integer" in self.possible:
            return Kind.STRING if 2 * self.phones > self.values else Kind.INT
        if "number" in self.possible:
            return Kind.FLOAT
        if "date" in self.possible:
            return Kind.DATE
        if {"local_time", "zoned_time"} & self.possible:
            return Kind.TIMESTAMP
        return Kind.STRING


def _all_fit(texts: pa.Array, name: str) -> bool:
    if not pc.all(pc.match_substring_regex(texts, _PATTERNS[name])).as_py():
        return False
    return name not in _MOMENTS or _moments(texts, name) is not None


def _moments(texts: pa.Array, name: str) -> pa.Array | None:
    """Return texts as points in time; return None if any is not a valid date."""
    try:
        return texts.cast(_MOMENTS[name])
    except pa.ArrowInvalid:  # For instance 31 February.
        return None


def convert_to_inferred_type(texts: pa.Array, kind: Kind) -> pa.Array:
    """Convert texts to the ``kind`` that :class:`Evidence` decided on for their column."""
    if kind in {Kind.STRING, Kind.NULL}:
        return texts
    values = without_null_words(texts)
    if kind is Kind.BOOL:
        return pc.equal(pc.utf8_lower(values), "true")
    return values.cast(kind.arrow)


def first_unfit(texts: pa.Array, kind: Kind) -> int | None:
    """Return the index of the first text that does not fit the uploader's ``kind``, if any."""
    if kind is Kind.STRING:
        return None
    values = without_null_words(texts)
    if kind in GIVEN_TYPES:
        fits = pc.match_substring_regex(values, GIVEN_TYPES[kind])
    else:
        fits = pc.is_valid(points_in_time(values, "date" if kind is Kind.DATE else "timestamp"))
    position = int(pc.index(pc.or_(fits, pc.is_null(values)), False).as_py())
    return None if position < 0 else position


def convert_to_given_type(texts: pa.Array, kind: Kind) -> pa.Array:
    """Convert texts to the ``kind`` that the uploader set; all of them must fit it."""
    if kind is Kind.STRING:
        return texts
    values = without_null_words(texts)
    if kind is Kind.BOOL:
        words = pc.is_in(pc.utf8_lower(values), pa.array(TRUE_WORDS))
        return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), words)
    if kind in GIVEN_TYPES:
        values = pc.replace_substring_regex(values, r"^\+", "")
    return values.cast(kind.arrow)


def is_point_or_number(name: str) -> bool:
    """Return True if a column name looks like a number, a date or a time, but not like a year."""
    text = pa.array([name.strip()])
    if pc.match_substring_regex(text, r"^(?:19|20)[0-9]{2}$")[0].as_py():
        return False
    return any(_all_fit(text, kind) for kind in ("number", "local_time", "zoned_time"))


def type_changes(
    previous: Mapping[str, str], found: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """Return the name, previous type and new type of each column whose type has changed."""
    return [
        {"column": column["name"], "before": previous[column["name"]], "after": column["type"]}
        for column in found
        if column["name"] in previous and previous[column["name"]] != column["type"]
    ]


def points_in_time(texts: pa.Array, label: str) -> pa.Array:
    """Return dates, or dates with times, as points in time; null for any other text.

    A time without a zone counts as UTC.

    Args:
        texts: The values as written in the file.
        label: ``date`` to accept only dates, or ``timestamp``.
    """
    names = ("date",) if label == "date" else ("local_time", "zoned_time")
    found = pa.nulls(len(texts), UTC_TIME)
    for name in names:
        fits = pc.match_substring_regex(texts, _PATTERNS[name])
        fitting = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
        moments = _moments(fitting, name)
        if moments is None:  # One of the dates does not exist.
            moments = pa.array(
                [_moment(text, name) for text in fitting.to_pylist()], _MOMENTS[name]
            )
        found = pc.coalesce(found, moments.cast(UTC_TIME))
    return found


def _moment(text: str | None, name: str) -> object:
    if text is None:
        return None
    moments = _moments(pa.array([text]), name)
    return None if moments is None else moments[0].as_py()
