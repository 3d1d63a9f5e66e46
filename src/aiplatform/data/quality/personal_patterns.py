"""Personal data and secrets in a text, by span.

A pattern proposes, a check disposes: card numbers must satisfy Luhn and begin as an issuer's do,
Chinese identity numbers carry a check digit and a date, telephone numbers follow the numbering plan
of their country. What is reserved for examples (``example.com``, private addresses) is nobody's.
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
    """One find; ``text[start:end]`` is it, in characters."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of personal data.

    Attributes:
        gate: an RE2 expression; only texts that match it are looked at.
        pattern: proposes spans.
        holds: whether a proposed span is one.
    """

    name: str
    gate: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]


def spans(text: str, kinds: "tuple[Kind, ...] | None" = None, key: str = "") -> list[Span]:
    """All finds in ``text`` from left to right; where two overlap, the earlier kind is kept.

    Args:
        key: what ``text`` is called in an object: what is called ``password`` may be one.
    """
    chosen = KINDS if kinds is None else kinds
    if key and ASSIGNED in chosen and is_named_secret(key, text):
        return [Span(ASSIGNED.name, 0, len(text))]
    found: list[Span] = []
    for kind in chosen:
        # Those of one kind don't overlap each other.
        starts = [span.start for span in found]
        more = []
        for match in kind.pattern.finditer(text):
            start, end = match.span()
            after = bisect_left(starts, end)  # the one before is the last that may overlap
            free = not after or found[after - 1].end <= start
            if free and kind.holds(match[0]):
                more.append(Span(kind.name, start, end))
        found = sorted([*found, *more], key=lambda span: span.start)
    return found


def mask(text: str, kinds: "tuple[Kind, ...] | None" = None, key: str = "") -> str:
    """``text`` with every find of :func:`spans` replaced by its kind: ``[EMAIL]``."""
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
    """Not a reserved domain (RFC 2606), and not the account that Git servers share."""
    name, _, domain = found.lower().rpartition("@")
    return name != "git" and not RESERVED.search("@" + domain) and ".." not in found


def is_china_id(found: str) -> bool:
    """The resident identity number's birthday and check digit, by GB 11643-1999."""
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
"""How the numbers of card issuers begin (ISO/IEC 7812), and how many digits they have."""


def is_bank_card(found: str) -> bool:
    """An issuer's beginning and length, and the Luhn check digit (ISO/IEC 7812-1, annex B)."""
    digits = re.sub(r"\D", "", found)
    if not any(len(digits) in lengths and start.match(digits) for start, lengths in ISSUERS):
        return False
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return len(set(digits)) > 1 and sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def is_phone(found: str) -> bool:
    """Return True for a telephone number.

    In international form, the country and the length decide: whoever writes ``+1 (431) 553-0912``
    means a number, whether or not its area code is assigned by now. Without ``+``, the number must
    be in the plan of China or North America, for any other digits look like that.
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
"""A fraction, or digits in groups of three."""

LEAST_UNASSIGNED = 10
"""Digits of a number that is in no plan, with its country's; shorter ones may be anything."""


def is_public_address(found: str) -> bool:
    """An address that can lead to somebody: neither private nor reserved."""
    try:
        return ip_address(found).is_global
    except ValueError:
        return False


PLACEHOLDER = re.compile(r"(?i)your|example|xxx|\*\*\*|<|\.\.\.|placeholder|changeme|dummy|\$\{")


def is_key(found: str) -> bool:
    """A key of a known form that is no placeholder of one.

    In the body of a PEM key, which is long and random, such words come up by chance.
    """
    return found.startswith("-----BEGIN") or not PLACEHOLDER.search(found)


def is_assigned_secret(found: str) -> bool:
    """What is assigned to a telling name, if it looks random: letters and digits, 3 bits each."""
    value = found[:-1].rpartition(found[-1])[2]
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed and bits >= 3.0 and not PLACEHOLDER.search(value)


def is_named_secret(key: str, value: str) -> bool:
    """What an object has under a telling key, as if it were assigned to it."""
    if not TELLING.search(key):
        return False
    written = f'{key}="{value}"'
    return any(
        match.end() == len(written) and is_assigned_secret(match[0])
        for match in ASSIGNED.pattern.finditer(written)
    )


def is_bare_secret(found: str) -> bool:
    """What is assigned without quotes, as in files of settings, if it looks random.

    Words that are joined to a name have short pieces, and few digits.
    """
    value = found.partition("=")[2]
    longest = max(map(len, re.split(r"[_-]", value)))
    digits = sum(map(str.isdigit, value))
    return longest >= LEAST_PIECE and digits >= LEAST_DIGITS and is_assigned_secret(f'"{value}"')


LEAST_PIECE, LEAST_DIGITS = 12, 3

PEM_NAME = r"(?:(?!PRIVATE)[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
PEM_BREAK = r"""(?:\\[nr]|[\s>"',\\])"""
"""Between the lines of a key, which may stand in quotes or in the string of a program."""

PEM_KEY = (
    rf"-----BEGIN {PEM_NAME}(?:"
    rf"(?:(?!-----(?:BEGIN|END) )[\s\S]){{0,32768}}+-----END {PEM_NAME}"
    # Without its end line: fields such as DEK-Info, whole lines, and one that was cut off.
    rf"|(?:(?:{PEM_BREAK}{{1,12}}+[A-Z][A-Za-z-]{{2,20}}: [^\r\n\\]{{0,100}}+){{0,4}}"
    rf"(?:{PEM_BREAK}{{0,12}}+[A-Za-z0-9+/]{{24,20000}}+={{0,2}}+){{1,1000}}+)?+"
    rf"(?:{PEM_BREAK}{{1,12}}+(?=[A-Za-z]{{0,16}}[0-9+/=]|[A-Za-z]{{16}})[A-Za-z0-9+/=]{{4,100}}+)?+"
    r")"
)
"""A private key in PEM to its end line; where that is missing, as far as lines of base64 go.

What lies between two headers is gone over twice at most, so a text full of them takes no longer.
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
"""All names that tell of a secret have one of these."""

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
"""What is assigned to a telling name."""

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
        # In the groups that cards have, so that a number beside it is not taken for a part.
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
            # In an address of the web and before a port, too; behind one slash it is a version.
            r"(?<![\w.-])(?<![^/]/)\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)"
            r"|(?<![\w.:/-])(?:[0-9A-Fa-f]{1,4}:){2,7}:?[0-9A-Fa-f]{0,4}"
            r"(?::[0-9A-Fa-f]{1,4})*(?![\w:-]|\.\w)",
            re.ASCII,
        ),
        is_public_address,
    ),
)
"""What is looked for, in this order: a card number is not also a telephone number."""
