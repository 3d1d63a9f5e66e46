"""Tests of the encryption of stored secrets."""

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
    def test_decrypt_returns_encrypted_value(self, key_home: Path, value: str) -> None:
        encrypted = encrypt(value, "a:1")
        assert decrypt(encrypted, "a:1") == value
        assert value == "" or value.encode() not in encrypted

    def test_encrypt_same_value_twice_differs(self, key_home: Path) -> None:
        assert encrypt("x", "a:1") != encrypt("x", "a:1")

    def test_decrypt_with_other_context_fails(self, key_home: Path) -> None:
        encrypted = encrypt("x", "a:1")
        for context in ("a:2", "a:", "", "a:1 "):
            with pytest.raises(SecretUnreadable):
                decrypt(encrypted, context)

    def test_decrypt_of_altered_or_cut_value_fails(self, key_home: Path) -> None:
        encrypted = encrypt("value", "a:1")
        for place in range(len(encrypted)):
            altered = bytearray(encrypted)
            altered[place] ^= 1
            with pytest.raises(SecretUnreadable):
                decrypt(bytes(altered), "a:1")
        for length in range(len(encrypted)):
            with pytest.raises(SecretUnreadable):
                decrypt(encrypted[:length], "a:1")

    def test_added_key_encrypts_and_old_key_still_decrypts(self, key_home: Path) -> None:
        old = encrypt("x", "a:1")
        encryption.add_key()
        new = encrypt("x", "a:1")
        assert decrypt(old, "a:1") == decrypt(new, "a:1") == "x"
        assert old[:9] != new[:9]

    def test_decrypt_without_its_key_fails(self, key_file: Path) -> None:
        encrypted = encrypt("x", "a:1")
        key_file.write_text(line())
        with pytest.raises(SecretUnreadable):
            decrypt(encrypted, "a:1")


class TestKeyFile:
    def test_key_file_is_created_private_by_encrypt(self, key_file: Path) -> None:
        encrypt("x", "a")
        assert key_file.stat().st_mode & 0o777 == 0o600
        assert key_file.parent.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in key_file.parent.iterdir()] == ["secrets.key"]

    def test_key_file_is_not_created_by_decrypt(self, key_file: Path) -> None:
        with pytest.raises(KeyFileUnusable) as caught:
            decrypt(b"\x01" + b"x" * 40, "a")
        assert "does not exist" in caught.value.reason
        assert not key_file.exists()

    def test_configured_key_file_must_exist(self, tmp_path: Path) -> None:
        with (
            environment(AIPLATFORM_KEY_FILE=str(tmp_path / "named.key")),
            pytest.raises(KeyFileUnusable) as caught,
        ):
            encrypt("x", "a")
        assert "AIPLATFORM_KEY_FILE" in caught.value.reason
        assert str(tmp_path) not in str(caught.value), "users are not told of paths"

    def test_simultaneous_first_uses_share_one_key(self, key_file: Path) -> None:
        encrypted: list[bytes] = []
        ready = threading.Barrier(8)

        def encrypt_value() -> None:
            ready.wait()
            encrypted.append(encrypt("x", "a"))

        threads = [threading.Thread(target=encrypt_value) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(encrypted) == 8
        assert len({value[:9] for value in encrypted}) == 1
        assert len(key_file.read_text().split()) == 1

    @pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602])
    def test_key_file_open_to_others_is_refused(self, key_file: Path, mode: int) -> None:
        encrypt("x", "a")
        key_file.chmod(mode)
        with pytest.raises(KeyFileUnusable) as caught:
            encrypt("x", "a")
        assert "chmod 600" in caught.value.reason

    def test_key_file_readable_by_group_is_accepted(self, key_file: Path) -> None:
        encrypt("x", "a")
        key_file.chmod(0o440)
        encrypt("x", "a")

    @pytest.mark.parametrize(
        "text", ["", "# nothing\n", "short", KEY[:-2], "é" * 40, KEY + "\n" + "zz"]
    )
    def test_key_file_with_invalid_content_is_refused(self, key_file: Path, text: str) -> None:
        encrypt("x", "a")
        key_file.write_text(text)
        with pytest.raises(KeyFileUnusable):
            encrypt("x", "a")

    def test_key_file_comments_and_blank_lines_are_ignored(self, key_file: Path) -> None:
        encrypt("x", "a")
        first, second = line(), line()
        key_file.write_text(f"# of 2026\n\n{first}  # first\n{second}\n")
        assert len(encryption.load_keys()) == 2

    def test_key_file_that_is_a_directory_is_refused(self, key_file: Path) -> None:
        key_file.mkdir(parents=True)
        with pytest.raises(KeyFileUnusable):
            encrypt("x", "a")
