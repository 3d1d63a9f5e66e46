"""Patterns that find and mask personal data and secrets in texts.

A pattern finds candidates, and a function verifies each of them. Card numbers must have the prefix
of an issuer and a valid Luhn digit. Chinese identity numbers must have a valid check digit and
date. Telephone numbers must fit the numbering plan of their country. Values reserved for examples
(``example.com``, private addresses) are ignored.
"""

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address

import phonenumbers


@dataclass(frozen=True, slots=True)
class Span:
    """A match of personal data: the characters ``text[start:end]``."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of personal data.

    Attributes:
        name: The name of the kind, for instance ``email``.
        prefilter: An RE2 expression; texts that do not match it are skipped.
        pattern: Finds candidates.
        holds: Returns True if a candidate is valid.
    """

    name: str
    prefilter: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]


def spans(text: str, kinds: "tuple[Kind, ...] | None" = None, key: str = "") -> list[Span]:
    """Return all matches in ``text``, from left to right.

    If two matches overlap, the one whose kind comes first is kept.

    Args:
        text: The text.
        kinds: The kinds to look for; None for all.
        key: The key of ``text`` in a JSON object, or empty. A value under
            ``password`` may be a secret.
    """
    chosen = KINDS if kinds is None else kinds
    if key and ASSIGNED in chosen and is_named_secret(key, text):
        return [Span(ASSIGNED.name, 0, len(text))]
    found: list[Span] = []
    for kind in chosen:
        # Matches of one kind don't overlap each other.
        starts = [span.start for span in found]
        more = []
        for match in kind.pattern.finditer(text):
            start, end = match.span()
            after = bisect_left(starts, end)  # Only the match before may overlap.
            free = not after or found[after - 1].end <= start
            if free and kind.holds(match[0]):
                more.append(Span(kind.name, start, end))
        found = sorted([*found, *more], key=lambda span: span.start)
    return found


def mask(text: str, kinds: "tuple[Kind, ...] | None" = None, key: str = "") -> str:
    """Replace every match of :func:`spans` in ``text`` with its kind, such as ``[EMAIL]``."""
    return "".join(_masked(text, spans(text, kinds, key)))


def _masked(text: str, found: list[Span]) -> Iterator[str]:
    done = 0
    for span in found:
        yield text[done : span.start]
        yield f"[{span.kind.upper()}]"
        done = span.end
    yield text[done:]


RESERVED = re.compile(r"(?:^|[@.])(?:example\.(?:com|net|org)|[^.@]+\.(?:example|invalid|test))$")


def is_email(found: str) -> bool:
    """Return True unless the domain is reserved (RFC 2606), or the user is ``git``.

    ``git@`` is the shared account of Git servers. Addresses with consecutive dots do not
    count either.
    """
    name, _, domain = found.lower().rpartition("@")
    return name != "git" and not RESERVED.search("@" + domain) and ".." not in found


def is_china_id(found: str) -> bool:
    """Return True if a resident identity number has a valid birthday and check digit.

    Source: GB 11643-1999.
    """
    try:
        date(int(found[6:10]), int(found[10:12]), int(found[12:14]))
    except ValueError:
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, found, strict=False))
    return "10X98765432"[total % 11] == found[17].upper()


ISSUERS = (
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"3(?:0[0-5]|[68])"), {14}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16}),
    (re.compile(r"6011|64[4-9]|65"), {16}),
    (re.compile(r"62"), {16, 17, 18, 19}),
)
"""Card number prefixes by issuer (ISO/IEC 7812), with the possible numbers of digits."""


def is_bank_card(found: str) -> bool:
    """Return True if the prefix and length fit a card issuer and the Luhn digit is valid.

    Source for the check digit: ISO/IEC 7812-1, annex B.
    """
    digits = re.sub(r"\D", "", found)
    if not any(len(digits) in lengths and start.match(digits) for start, lengths in ISSUERS):
        return False
    doubled = (int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits)))
    return len(set(digits)) > 1 and sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def is_phone(found: str) -> bool:
    """Return True for a telephone number.

    In international form, the country and the length decide: ``+1 (431) 553-0912`` counts as a
    telephone number, even if its area code is not assigned. Without ``+``, the number must fit
    the numbering plan of China or North America, because many other digits look similar.
    """
    if found.startswith("+"):
        number = _parsed(found, None)
        return number is not None and (
            phonenumbers.is_valid_number(number)
            or (phonenumbers.is_possible_number(number) and _is_written_as_a_number(found))
        )
    numbers = (_parsed(found, region) for region in ("CN", "US"))
    return any(number and phonenumbers.is_valid_number(number) for number in numbers)


def _parsed(found: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(found, region)
    except phonenumbers.NumberParseException:
        return None


def _is_written_as_a_number(found: str) -> bool:
    """Return True unless the digits are few, all the same, or an amount: ``+12.345678901``."""
    digits = re.sub(r"\D", "", found)
    if len(digits) < LEAST_UNASSIGNED or len(set(digits)) == 1:
        return False
    return AMOUNT.fullmatch(found) is None


AMOUNT = re.compile(r"\+(?:\d+\.\d+|\d{1,3}(?:[ .]\d{3}){2,})")
"""Pattern of an amount of money or a quantity: a fraction, or digits in groups of three."""

LEAST_UNASSIGNED = 10
"""Minimum number of digits of a telephone number that is not in any numbering plan.

The country code is included.
"""


def is_public_address(found: str) -> bool:
    """Return True if an IP address is public: neither private nor reserved."""
    try:
        return ip_address(found).is_global
    except ValueError:
        return False


PLACEHOLDER = re.compile(r"(?i)your|example|xxx|\*\*\*|<|\.\.\.|placeholder|changeme|dummy|\$\{")


def is_key(found: str) -> bool:
    """Return True if a key of a known form is not a placeholder.

    A PEM key is never a placeholder: words such as ``xxx`` occur in its long random body by chance.
    """
    return found.startswith("-----BEGIN") or not PLACEHOLDER.search(found)


def is_assigned_secret(found: str) -> bool:
    """Return True if the value in an assignment looks random and is not a placeholder.

    It must have letters and digits, and an entropy of at least 3 bits per character.
    """
    value = found[:-1].rpartition(found[-1])[2]
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed and bits >= 3.0 and not PLACEHOLDER.search(value)


def is_named_secret(key: str, value: str) -> bool:
    """Return True if ``key = value``, written as an assignment, would assign a secret."""
    if not TELLING.search(key):
        return False
    written = f'{key}="{value}"'
    return any(
        match.end() == len(written) and is_assigned_secret(match[0])
        for match in ASSIGNED.pattern.finditer(written)
    )


def is_bare_secret(found: str) -> bool:
    """Return True if a value assigned without quotes, as in settings files, looks random.

    It must have several digits and a long part without ``-`` and ``_``, unlike names made up of
    words.
    """
    value = found.partition("=")[2]
    longest = max(map(len, re.split(r"[_-]", value)))
    digits = sum(map(str.isdigit, value))
    return longest >= LEAST_PIECE and digits >= LEAST_DIGITS and is_assigned_secret(f'"{value}"')


LEAST_PIECE, LEAST_DIGITS = 12, 3

PEM_NAME = r"(?:(?!PRIVATE)[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
PEM_BREAK = r"""(?:\\[nr]|[\s>"',\\])"""
"""Characters between the lines of a key, which may be quoted or inside a string in a program."""

PEM_KEY = (
    rf"-----BEGIN {PEM_NAME}(?:"
    rf"(?:(?!-----(?:BEGIN|END) )[\s\S]){{0,32768}}+-----END {PEM_NAME}"
    # Without an end line: fields such as DEK-Info, whole lines, and an incomplete last line.
    rf"|(?:(?:{PEM_BREAK}{{1,12}}+[A-Z][A-Za-z-]{{2,20}}: [^\r\n\\]{{0,100}}+){{0,4}}"
    rf"(?:{PEM_BREAK}{{0,12}}+[A-Za-z0-9+/]{{24,20000}}+={{0,2}}+){{1,1000}}+)?+"
    rf"(?:{PEM_BREAK}{{1,12}}+(?=[A-Za-z]{{0,16}}[0-9+/=]|[A-Za-z]{{16}})[A-Za-z0-9+/=]{{4,100}}+)?+"
    r")"
)
"""Pattern of a private key in PEM up to its end line or, without one, the end of its base64 lines.

Text between two headers is scanned at most twice, so text with many headers takes linear time.
"""

KNOWN_KEYS = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36,}",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    r"\bglpat-[A-Za-z0-9_-]{20,}",
    r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}",
    r"\bAIza[0-9A-Za-z_-]{35}",
    r"\bxox[abeprs]-[0-9A-Za-z-]{10,}",
    r"\b[prs]k_(?:live|test)_[0-9A-Za-z]{16,}",
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    PEM_KEY,
)

TELLING = re.compile(r"(?i)key|secret|token|passw")
"""Pattern that matches every name that suggests a secret."""

ASSIGNED = Kind(
    "secret",
    TELLING.pattern,
    re.compile(
        r"(?i)\b(?:api[_-]?key|access[_-]?key|secret(?:[_-]?key)?|(?:auth[_-]?)?token|"
        r"passw(?:or)?d)[\"']?\s*[:=]\s*[\"'][^\s\"']{8,200}[\"']",
        re.ASCII,
    ),
    is_assigned_secret,
)
"""The kind of personal data for secrets that are assigned to a name such as ``token``."""

KINDS = (
    Kind(
        "secret",
        r"AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|sk-|AIza|xox[abeprs]-|k_(?:live|test)_|hf_|eyJ|"
        r"PRIVATE KEY",
        re.compile("|".join(KNOWN_KEYS), re.ASCII),
        is_key,
    ),
    ASSIGNED,
    Kind(
        "secret",
        r"(?i:key|secret|token|passw)[\w-]{0,20}=\w",
        re.compile(
            r"(?i)(?<![A-Za-z])(?:api[_-]?key|access[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?|"
            r"(?:auth[_-]?)?token|passw(?:or)?d)=[A-Za-z0-9+/_-]{16,200}(?![\w(.\[-])",
            re.ASCII,
        ),
        is_bare_secret,
    ),
    Kind(
        "email",
        "@",
        re.compile(
            r"(?<![\w.+-])[A-Za-z0-9][\w.%+-]{0,63}@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b", re.ASCII
        ),
        is_email,
    ),
    Kind(
        "china_id",
        r"[1-9]\d{16}[\dXx]",
        re.compile(r"(?<![0-9A-Za-z])[1-8]\d{5}(?:19|20)\d{9}[\dXx](?![0-9A-Za-z])", re.ASCII),
        is_china_id,
    ),
    Kind(
        "bank_card",
        r"\d(?:[ -]?\d){12,18}",
        # Match only the usual groups of digits, so that a neighbouring number is not included.
        re.compile(
            r"(?<![\w.+-])(?:"
            r"62\d\d(?P<u>[ -])\d{4}(?P=u)\d{4}(?P=u)\d{4}(?P=u)\d{3}"
            r"|\d{4}(?P<v>[ -])\d{4}(?P=v)\d{4}(?P=v)\d{4}"
            r"|3\d{3}(?P<a>[ -])\d{6}(?P=a)\d{4,5}"
            r"|62\d{4}[ -]\d{10,13}"
            r"|\d{13,19}"
            r")(?![\w-]|\.\d)",
            re.ASCII,
        ),
        is_bank_card,
    ),
    Kind(
        "phone",
        r"\+\d|1[3-9]\d[ -]?\d{4}[ -]?\d{4}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}|0\d{2,3}-\d{7,8}",
        re.compile(
            r"(?<![\w.+-])(?:"
            r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}"
            r"|1[3-9]\d[ -]?\d{4}[ -]?\d{4}"
            r"|\(\d{3}\)[ ]?\d{3}[ .-]\d{4}"
            r"|\d{3}([ .-])\d{3}\1\d{4}"
            r"|0\d{2,3}-\d{7,8}"
            r")(?![\w-]|\.\d)",
            re.ASCII,
        ),
        is_phone,
    ),
    Kind(
        "ip_address",
        r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f]",
        re.compile(
            # Match also in a web address and before a port. After a single slash it is a version
            # number.
            r"(?<![\w.-])(?<![^/]/)\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)"
            r"|(?<![\w.:/-])(?:[0-9A-Fa-f]{1,4}:){2,7}:?[0-9A-Fa-f]{0,4}"
            r"(?::[0-9A-Fa-f]{1,4})*(?![\w:-]|\.\w)",
            re.ASCII,
        ),
        is_public_address,
    ),
)
"""All kinds, in order of precedence: a card number is not also a telephone number."""
