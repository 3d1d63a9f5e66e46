"""Secrets at rest."""

import base64
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiplatform.server.core import encryption
from aiplatform.server.core.encryption import KeyFileUnusable, SecretUnreadable, decrypt, encrypt
from tests.conftest import environment

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


@pytest.fixture
def key_home(tmp_path: Path) -> Iterator[Path]:
    with environment(AIPLATFORM_HOME=str(tmp_path)):
        yield tmp_path


@pytest.fixture
def key_file(key_home: Path) -> Path:
    return key_home / "keys" / "secrets.key"


def line() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


class TestSealing:
    @pytest.mark.parametrize("value", ["", "hf_x", "密钥\n\0", "x" * 100_000])
    def test_what_was_sealed_opens(self, key_home: Path, value: str) -> None:
        sealed = encrypt(value, "a:1")
        assert decrypt(sealed, "a:1") == value
        assert value == "" or value.encode() not in sealed

    def test_the_same_value_never_looks_the_same(self, key_home: Path) -> None:
        assert encrypt("x", "a:1") != encrypt("x", "a:1")

    def test_it_opens_nowhere_else(self, key_home: Path) -> None:
        sealed = encrypt("x", "a:1")
        for context in ("a:2", "a:", "", "a:1 "):
            with pytest.raises(SecretUnreadable):
                decrypt(sealed, context)

    def test_every_altered_byte_is_noticed(self, key_home: Path) -> None:
        sealed = encrypt("value", "a:1")
        for place in range(len(sealed)):
            altered = bytearray(sealed)
            altered[place] ^= 1
            with pytest.raises(SecretUnreadable):
                decrypt(bytes(altered), "a:1")
        for length in range(len(sealed)):
            with pytest.raises(SecretUnreadable):
                decrypt(sealed[:length], "a:1")

    def test_an_added_key_encrypts_and_the_old_one_still_opens(self, key_home: Path) -> None:
        old = encrypt("x", "a:1")
        encryption.add_key()
        new = encrypt("x", "a:1")
        assert decrypt(old, "a:1") == decrypt(new, "a:1") == "x"
        assert old[:9] != new[:9]

    def test_without_its_key_it_stays_shut(self, key_file: Path) -> None:
        sealed = encrypt("x", "a:1")
        key_file.write_text(line())
        with pytest.raises(SecretUnreadable):
            decrypt(sealed, "a:1")


class TestKeyFile:
    def test_is_made_private_on_first_need(self, key_file: Path) -> None:
        encrypt("x", "a")
        assert key_file.stat().st_mode & 0o777 == 0o600
        assert key_file.parent.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in key_file.parent.iterdir()] == ["secrets.key"]

    def test_is_not_made_in_order_to_decrypt(self, key_file: Path) -> None:
        with pytest.raises(KeyFileUnusable) as caught:
            decrypt(b"\x01" + b"x" * 40, "a")
        assert "does not exist" in caught.value.reason
        assert not key_file.exists()

    def test_one_that_is_named_must_be_there(self, tmp_path: Path) -> None:
        with (
            environment(AIPLATFORM_KEY_FILE=str(tmp_path / "named.key")),
            pytest.raises(KeyFileUnusable) as caught,
        ):
            encrypt("x", "a")
        assert "AIPLATFORM_KEY_FILE" in caught.value.reason
        assert str(tmp_path) not in str(caught.value), "users are not told of paths"

    def test_those_who_start_at_once_share_one(self, key_file: Path) -> None:
        sealed: list[bytes] = []
        ready = threading.Barrier(8)

        def seal() -> None:
            ready.wait()
            sealed.append(encrypt("x", "a"))

        threads = [threading.Thread(target=seal) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sealed) == 8
        assert len({value[:9] for value in sealed}) == 1
        assert len(key_file.read_text().split()) == 1

    @pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
    def test_one_that_others_can_reach_is_refused(self, key_file: Path, mode: int) -> None:
        encrypt("x", "a")
        key_file.chmod(mode)
        with pytest.raises(KeyFileUnusable) as caught:
            encrypt("x", "a")
        assert "chmod 600" in caught.value.reason

    def test_a_group_may_read_it(self, key_file: Path) -> None:
        encrypt("x", "a")
        key_file.chmod(0o440)
        encrypt("x", "a")

    @pytest.mark.parametrize(
        "text", ["", "# nothing\n", "short", KEY[:-2], "é" * 40, KEY + "\n" + "zz"]
    )
    def test_what_is_no_key_is_named(self, key_file: Path, text: str) -> None:
        encrypt("x", "a")
        key_file.write_text(text)
        with pytest.raises(KeyFileUnusable):
            encrypt("x", "a")

    def test_comments_and_blank_lines_are_passed_over(self, key_file: Path) -> None:
        encrypt("x", "a")
        first, second = line(), line()
        key_file.write_text(f"# of 2026\n\n{first}  # first\n{second}\n")
        assert len(encryption.load_keys()) == 2

    def test_a_directory_is_none(self, key_file: Path) -> None:
        key_file.mkdir(parents=True)
        with pytest.raises(KeyFileUnusable):
            encrypt("x", "a")
