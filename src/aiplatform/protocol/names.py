"""Names that are used in URLs, in the OpenAI ``model`` field and as file names.

They consist of ASCII letters, digits, ``.``, ``_``, ``-`` and Chinese characters. Each name has
only one spelling: variants that look the same are normalised or refused.
"""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

IDEOGRAPHS = "\u3007\u3400-\u4dbf\u4e00-\u9fff"
"""Unicode ranges of ideographs, for use in a character class.

They are the ideographic zero, extension A and the main block of unified ideographs. Kana and Hangul
are left out, because some of them look like ideographs.
"""

NAME_PATTERN = rf"^[A-Za-z0-9{IDEOGRAPHS}][A-Za-z0-9{IDEOGRAPHS}._-]*$"

MAX_NAME_BYTES = 180
"""Longest name, in bytes of UTF-8.

A file name is at most 255 bytes long. The difference leaves room for a version (up to 50
characters), a suffix, and additions while the file is incomplete.
"""

LOOKALIKES = frozenset("\u3007\u4e00\u4e28\u4e36")
"""Ideographs that look like ``0``, ``-``, ``l`` and ``.`` between ASCII letters."""


def single_spelling(name: object) -> object:
    """Return a name in Unicode normalization form C.

    Raises:
        PydanticCustomError: The name contains full-width letters or other compatibility characters,
            which would make two different names look the same.
    """
    if not isinstance(name, str):
        return name
    normal = unicodedata.normalize("NFC", name)
    plain = unicodedata.normalize("NFKC", normal)
    if plain == normal:
        return normal
    raise PydanticCustomError(
        "name_spelling",
        "must not hold full-width or compatibility characters; write it as {plain}",
        {"plain": plain, "words_zh": f"不能包含全角或兼容字符；请写作 {plain}"},
    )


def not_deceptive(name: str) -> str:
    """Return the name unless it is deceptive.

    Raises:
        PydanticCustomError: All of its ideographs look like ASCII characters.
    """
    if is_deceptive(name):
        found = "".join(sorted(LOOKALIKES.intersection(name)))
        raise PydanticCustomError(
            "name_lookalike",
            "must not mix letters or digits with {found} alone, which looks like one of them; "
            "write the ASCII character, or add another Chinese character",
            {
                "found": found,
                "words_zh": f"不能只将“{found}”与字母或数字混用，因为两者形似；"
                "请改用相应的 ASCII 字符，或再加入其他汉字",
            },
        )
    return name


def is_deceptive(name: str) -> bool:
    """Return True if a name mixes ASCII letters or digits with nothing but lookalike ideographs."""
    others = {character for character in name if not character.isascii()}
    return bool(others) and others <= LOOKALIKES and re.search("[A-Za-z0-9]", name) is not None


def short_enough(name: str) -> str:
    """Return the name unless it is too long.

    Raises:
        PydanticCustomError: Its UTF-8 form does not fit into a file name.
    """
    size = len(name.encode("utf-8", "replace"))
    if size > MAX_NAME_BYTES:
        limit = MAX_NAME_BYTES // 3
        raise PydanticCustomError(
            "name_too_long",
            "must be at most {limit} Chinese characters or {bytes} bytes in UTF-8 long, because "
            "files are called so",
            {
                "limit": limit,
                "bytes": MAX_NAME_BYTES,
                "words_zh": f"最多 {limit} 个汉字，即 UTF-8 编码的 {MAX_NAME_BYTES} 字节，"
                "因为它会用作文件名",
            },
        )
    return name


def nearest_name(text: str, *, longest: int) -> str:
    """Return a valid name similar to ``text``, or an empty string if there is none.

    ``longest`` is the maximum number of characters.
    """
    plain = unicodedata.normalize("NFKC", text)
    plain = re.sub(rf"[^A-Za-z0-9{IDEOGRAPHS}._-]+", "-", plain).strip("-._")[:longest]
    if is_deceptive(plain):
        plain = re.sub(rf"[{IDEOGRAPHS}]+", "-", plain).strip("-._")
    return plain


def without_traversal(value: str | None) -> str | None:
    """Return a hub path or name unchanged, or raise ValueError if it contains ``..``."""
    if value is not None and ".." in value:
        raise ValueError("must not contain '..'")
    return value


Name = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=NAME_PATTERN),
    BeforeValidator(single_spelling),
    AfterValidator(not_deceptive),
    AfterValidator(short_enough),
]
"""The name of a model, a deployment, a sweep or a bundle."""
