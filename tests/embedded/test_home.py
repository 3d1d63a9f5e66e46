import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiplatform.embedded import home as home_module
from aiplatform.embedded.errors import HomeUnusableError
from aiplatform.embedded.home import MAX_SOCKET_PATH, Home, socket_directory
from aiplatform.protocol.platform_home import default_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def short_temp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sock") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)


def test_resolve_prefers_argument_then_environment_then_default(tmp_path: Path) -> None:
    environ = {"AIPLATFORM_HOME": str(tmp_path / "named")}
    assert Home.resolve(tmp_path / "given", environ).root == tmp_path / "given"
    assert Home.resolve(None, environ).root == tmp_path / "named"
    assert Home.resolve(None, {}).root == default_home().resolve()
    assert Home.resolve(None, {"AIPLATFORM_HOME": ""}).root == default_home().resolve()


def test_command_contains_the_home_unless_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.resolve(tmp_path / "my home")
    assert shlex.split(home.command("down")) == ["aiplatform", "down", "--home", str(home.root)]
    monkeypatch.setenv("AIPLATFORM_HOME", str(tmp_path / "my home"))
    assert home.command("down") == "aiplatform down"


def test_resolve_follows_tilde_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert Home.resolve(Path("~/x"), {}).root == tmp_path / "x"
    assert Home.resolve(tmp_path / "link", {}).root == tmp_path / "target"


def test_resolve_of_a_loop_of_links_raises_home_unusable(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(HomeUnusableError):
        Home.resolve(tmp_path / "a", {}).prepare()


def test_prepare_creates_the_directories_and_can_be_repeated(home: Home) -> None:
    home.prepare()
    home.prepare()
    names = {path.name for path in home.root.iterdir()}
    assert names == {"postgres", "valkey", "blobs", "logs", "run", "spool", "work"}
    assert home.root.stat().st_mode & 0o066 == 0
    for name in names - {"postgres"}:
        assert (home.root / name).stat().st_mode & 0o077 == 0
    assert list(home.run.iterdir()) == []


def test_prepare_with_too_little_space_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_module, "MINIMUM_FREE_BYTES", 1 << 60)
    with pytest.raises(HomeUnusableError, match="full"):
        home.prepare()


def test_prepare_with_a_file_in_the_way_is_refused(home: Home) -> None:
    home.root.mkdir()
    home.blobs.write_text("")
    with pytest.raises(HomeUnusableError, match="blobs is not a directory"):
        home.prepare()


def test_lock_has_only_one_holder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "LOCK_SECONDS", 0.1)
    home.prepare()
    first = home.lock()
    assert first is not None
    assert home.lock() is None
    os.close(first)
    second = home.lock()
    assert second is not None
    os.close(second)


def test_socket_directories_of_two_homes_differ(tmp_path: Path, short_temp: Path) -> None:
    one, two = socket_directory(Home(tmp_path / "1")), socket_directory(Home(tmp_path / "2"))
    assert one != two
    assert one.parent == short_temp
    assert socket_directory(Home(tmp_path / "1")) == one


def test_socket_path_is_short_enough_for_long_homes(
    tmp_path: Path, short_temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = short_temp / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    made = socket_directory(Home(tmp_path / ("深" * 60)))
    try:
        assert len(os.fsencode(made / "postgres" / ".s.PGSQL.5432.lock")) <= MAX_SOCKET_PATH
    finally:
        made.rmdir()


def test_socket_directory_of_someone_else_is_not_used(tmp_path: Path, short_temp: Path) -> None:
    home = Home(tmp_path)
    first = socket_directory(home)
    first.rmdir()
    first.symlink_to(tmp_path, target_is_directory=True)
    second = socket_directory(home)
    assert second != first
    assert not second.is_symlink()
    if os.geteuid() == 0:
        os.chown(second, 65534, 65534)
        assert socket_directory(home) not in {first, second}
