"""Tests of finding and masking personal data, which examples must not repeat."""

import json
import random
from base64 import b64encode
from textwrap import wrap
from time import process_time

import phonenumbers
import pytest

from aiplatform.data.quality.personal_patterns import mask, spans
from tests.data.quality.conftest import Report, found


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to bob.smith+x@gmail.com.", ["email"]),
        ("call 13812345678 or +86 138 1234 5678", ["phone", "phone"]),
        ("+1 (415) 555-2671, (415) 555-2671, 415-555-2671", ["phone"] * 3),
        ("座机 010-62781234", ["phone"]),
        ("身份证 11010519491231002X", ["china_id"]),
        ("4111 1111 1111 1111 and 5500005555555559", ["bank_card", "bank_card"]),
        ("from 8.8.8.8 and 2001:4860:4860::8888", ["ip_address", "ip_address"]),
        ("http://8.8.8.8/x, 9.9.9.9:53, ip:1.1.1.1, root@8.8.4.4", ["ip_address"] * 4),
        ("AKIAIOSFODNN7ABCDEFG", ["secret"]),
        ("DB_PASSWORD=Xk9mQ2vL7pR4tZ8w\nAPI_KEY=4f9a8b7c6d5e4f3a2b1c0d9e", ["secret"] * 2),
        ("https://x.test/?token=abc123def456ghi789&y=1", ["secret"]),
        ("ghp_" + "a1B2" * 9, ["secret"]),
        ('password = "s3cr3tPa55w0rd"', ["secret"]),
        ("-----BEGIN RSA PRIVATE KEY-----", ["secret"]),
        ("-----BEGIN PRIVATE KEY----- bob@gmail.com", ["secret", "email"]),
    ],
)
def test_spans_finds_personal_data(text: str, kinds: list[str]) -> None:
    assert [span.kind for span in spans(text)] == kinds


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com, git@github.com, a@b",
        "order 20241124123456 on 2024-11-24 10:30:00",
        "4111 1111 1111 1112",  # Wrong check digit.
        "110105194912310021",  # Wrong check digit.
        "11010519491331002X",  # Invalid month.
        "version 1.2.3.4.5, 10.0.0.1, 127.0.0.1, 192.168.1.1, 999.8.8.8",
        "123-456-7890",  # Invalid area code.
        "12812345678",  # Invalid prefix.
        'api_key = "your-api-key-here1"',
        'token: "xxxxxxxxxxxx"',
        "token=max_new_tokens_2048, token=generate_token_v212(user), password=your_password_12345",
        "api_key=os.environ1234567890.x sort_key=aaaaaaaaaaaaaaaa1234",
        "Chrome/86.0.42.111, packages/1.2.3.4/file, v1.2.3.4, http://10.0.0.1:80/",
        "at 12:30:45 a::b::c std::vector",
        "3.14159265358979323846",
    ],
)
def test_spans_ignores_invalid_and_reserved_values(text: str) -> None:
    assert spans(text) == []


def international_numbers(count: int) -> list[str]:
    """Return numbers in international form, most of them with unassigned area codes."""
    draw = random.Random(431)

    def digits(length: int) -> str:
        return "".join(draw.choices("0123456789", k=length))

    def number() -> str:
        area, exchange = draw.randint(200, 999), draw.randint(200, 999)
        return draw.choice(
            [
                f"+1 ({area}) {exchange}-{digits(4)}",
                f"+1-{area}-{exchange}-{digits(4)}",
                f"+1 {area} {exchange} {digits(4)}",
                f"+1{area}{exchange}{digits(4)}",
                f"+86 1{draw.randint(30, 99)} {digits(4)} {digits(4)}",
                f"+49 {draw.randint(150, 179)} {digits(7)}",
                f"+44 7{digits(3)} {digits(6)}",
            ]
        )

    return [number() for _ in range(count)]


def test_international_phone_numbers_are_found_with_any_area_code() -> None:
    numbers = international_numbers(1000)
    texts = [f"Call {number}, or write." for number in numbers]
    hits = [[text[s.start : s.end] for s in spans(text) if s.kind == "phone"] for text in texts]
    recall = sum([number] == hit for number, hit in zip(numbers, hits, strict=True)) / len(numbers)
    assert recall >= 0.98, recall
    assert spans("+1 (431) 553-0912")[0].kind == "phone"


def test_other_digits_after_a_plus_are_no_phone_numbers() -> None:
    draw = random.Random(912)
    texts: list[str] = []
    for _ in range(300):
        big = draw.randint(10**9, 10**10 - 1)
        texts += [
            f"growth of +{draw.randint(1, 99)}.{draw.randint(0, 10**8)} percent",
            f"from -{draw.random() * 90:.8f} to +{draw.random() * 180:.8f}",
            f"a balance of +{big:,}".replace(",", " "),
            f"a balance of +{draw.randint(1, 9)}{big:,}",
            f"2 + {big} = {big + 2}, 3+{big}",
            f"UTC+08:00, 2026-01-31T10:00:00+0800, C++{draw.randint(11, 23)}",
            f"+{draw.randint(100, 999_999)} points, +{draw.randint(1, 9)} 000 000 000 rows",
            f"build 1.2.{draw.randint(0, 99)}+{draw.randint(20200101, 20261231)}",
        ]
    found = [
        text[span.start : span.end]
        for text in texts
        for span in spans(text)
        if span.kind == "phone"
    ]
    # By chance, some are valid numbers in a country's numbering plan; these don't count.
    by_form = [
        each for each in found if not phonenumbers.is_valid_number(phonenumbers.parse(each, None))
    ]
    assert by_form == []


def test_mask_keeps_the_rest_of_the_text() -> None:
    text = "Mail bob@gmail.com, then call 13812345678!"
    assert mask(text) == "Mail [EMAIL], then call [PHONE]!"
    assert mask(mask(text)) == mask(text)
    assert text[spans(text)[0].start : spans(text)[0].end] == "bob@gmail.com"


def test_rows_are_counted_once_and_examples_are_masked(report: Report) -> None:
    rows = [
        {"prompt": "Who?", "completion": "bob@gmail.com and eve@gmail.com"},
        {"prompt": "Mail amy@gmail.com", "completion": "No."},
        {"prompt": "Hello", "completion": "Good day."},
    ]
    made = report(rows)
    finding = found(made, "personal_email")
    assert finding["count"] == 2
    assert [example["row"] for example in finding["examples"]] == [0, 1]
    assert "gmail" not in json.dumps(made)


def test_personal_data_in_messages_is_found(report: Report) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "13812345678"}]
    assert found(report([{"messages": messages}]), "personal_phone")["count"] == 1


def test_examples_of_other_findings_mask_personal_data(report: Report) -> None:
    """Check that examples of other findings, including duplicates, hide personal data, too."""
    text = "Write to bob@gmail.com or 13812345678, <b>please</b>. "
    made = report([{"text": f"{text}{'It is so. ' * 5}{n // 2}"} for n in range(6)])
    codes = {finding["code"] for finding in made["findings"]}
    assert {"duplicates", "near_duplicates", "markup", "personal_email"} <= codes
    told = [each["text"] for finding in made["findings"] for each in finding["examples"]]
    assert any("Write to [EMAIL] or [PHONE]" in each for each in told)
    assert not any("bob@" in each or "1381" in each for each in told)


KEY = random.Random(7).randbytes(1190)
LINES = wrap(b64encode(KEY).decode(), 64)


class TestPrivateKeys:
    """Tests of masking private keys including their body, which is the secret."""

    @pytest.mark.parametrize("name", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    @pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\n    ", "\n> "])
    def test_mask_key_with_its_end_line(self, name: str, line_break: str) -> None:
        lines = [f"-----BEGIN {name}PRIVATE KEY-----", *LINES, f"-----END {name}PRIVATE KEY-----"]
        assert mask(f"Look: {line_break.join(lines)}, bob@gmail.com") == "Look: [SECRET], [EMAIL]"

    def test_mask_key_with_other_lines_in_its_body(self) -> None:
        header, end = "-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"
        body = "Version: GnuPG v2\n\n" + "\n".join(LINES) + "\n=xXxX"
        assert mask(f"{header}\n{body}\n{end}\nDone.") == "[SECRET]\nDone."

    @pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\n    ", "\n> "])
    @pytest.mark.parametrize("left", [1000, 700, 64, 50, 20])
    def test_mask_key_without_an_end_line(self, line_break: str, left: int) -> None:
        body = line_break.join(wrap("".join(LINES)[:left], 64))
        text = f"-----BEGIN RSA PRIVATE KEY-----{line_break}{body}"
        assert mask(text) == "[SECRET]"
        assert mask(f"{text}{line_break}Keep it safe.") == f"[SECRET]{line_break}Keep it safe."

    def test_mask_key_with_fields_before_its_body(self) -> None:
        fields = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B2C3D\n\n"
        text = f"-----BEGIN RSA PRIVATE KEY-----\n{fields}" + "\n".join(LINES)
        assert mask(f"{text}\n\nThat was it.") == "[SECRET]\n\nThat was it."

    def test_mask_header_in_prose_keeps_the_prose(self) -> None:
        text = "-----BEGIN PRIVATE KEY----- is the first line: it says what follows, for instance."
        assert mask(text) == text.replace("-----BEGIN PRIVATE KEY-----", "[SECRET]")

    def test_mask_header_keeps_a_certificate_after_it(self) -> None:
        text = "-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"
        assert mask(text).count("CERTIFICATE") == 2

    @pytest.mark.parametrize(
        "junk",
        [
            "-----BEGIN ",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nAbc: d\nAbc: d\n",
            "-----BEGIN PRIVATE KEY-----" + "\n" * 13 + "a" * 30,
            "-----BEGIN A A ",
            "-----BEGIN PRIVATE KEY----------END ",
        ],
    )
    def test_spans_of_hostile_text_takes_linear_time(self, junk: str) -> None:
        """Check that eight times as much text takes far less than 64 times as long."""

        def seconds(size: int) -> float:
            text = junk * (size // len(junk))
            begin = process_time()
            spans(text)
            return process_time() - begin

        assert seconds(200_000) < 24 * max(min(seconds(25_000) for _ in range(3)), 0.01)
