"""Attack: path traversal in every field that looks like a path."""

from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy.orm import Session

from tests.conftest import Api
from tests.matrix.world import World

HOSTILE = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..;/..;/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\windows\\win.ini",
    "..%5c..%5cwindows",
    "/etc/passwd",
    "//etc/passwd",
    "file:///etc/passwd",
    "C:/windows/win.ini",
    "weights/../../secret",
    "weights/%2e%2e/%2e%2e/x",
    "weights/config.json%00.png",
    "~root/.ssh/id_rsa",
    ".",
    "..",
    "a/./b",
    "\u2025/\u2025/etc",
    "\uff0e\uff0e/etc",
    "con",
    "a\nb",
    "-rf",
)


TARGET_NAMES = {"passwd", "secret", "win.ini", "id_rsa", "etc", "windows", "config.json"}


def written_names(home: Path) -> set[str]:
    """Return the names from hostile paths that exist as files in or next to ``home``."""
    within = {file.name for file in home.rglob("*")}
    return TARGET_NAMES & (within | {path.name for path in home.parent.iterdir()})


class TestTraversal:
    @pytest.mark.parametrize("path", HOSTILE)
    def test_hostile_path_of_model_file_reads_and_writes_nothing(
        self, owner: Api, world: World, session: Session, home: Path, path: str
    ) -> None:
        made = owner.post(
            f"projects/{world.params['project']}/models",
            json={"name": "mine", "source": {"kind": "upload"}},
        ).json()
        for spelling in {path.replace("\n", "%0a"), quote(path, safe="")}:
            address = f"models/{made['uuid']}/files/{spelling}"
            answer = owner.put(address, content=b"evil")
            assert answer.status_code in {200, 201, 204, 404, 405, 409, 422}, answer.text
            read = owner.get(f"models/{world.params['model']}/files/{spelling}")
            assert read.status_code in {200, 404, 405, 422}, read.text
            assert b"root:" not in read.content
        kept = owner.get(f"models/{made['uuid']}/files").json()["items"]
        for item in kept:
            parts = item["path"].split("/")
            assert not {"..", ".", "", "~root"} & set(parts), item
            assert not set("\\\0\n:") & set(item["path"]), item
        assert not written_names(home)

    @pytest.mark.parametrize("path", HOSTILE)
    def test_hostile_path_as_upload_name_opens_no_file(
        self, owner: Api, world: World, home: Path, path: str
    ) -> None:
        """Check that the name of an uploaded file is only stored and used to choose a format."""
        answer = owner.post(
            f"projects/{world.params['project']}/datasets",
            params={"name": f"d{abs(hash(path))}", "filename": f"{path}.jsonl"},
            content=b'{"text": "x"}\n',
        )
        assert answer.status_code in {201, 422}, answer.text
        assert not written_names(home)
        if answer.status_code == 201:
            where = f"datasets/{answer.json()['uuid']}/versions/v1/content"
            sent = owner.get(where, params={"format": "original"})
            disposition = sent.headers["content-disposition"]
            assert disposition.startswith("attachment;")
            assert "\n" not in disposition
            name = disposition.partition('filename="')[2].partition('"')[0]
            assert "/" not in name
            assert "\\" not in name

    @pytest.mark.parametrize("path", HOSTILE)
    @pytest.mark.parametrize("field", ["repository", "revision", "package"])
    def test_hostile_path_in_model_source_is_refused(
        self, owner: Api, world: World, path: str, field: str
    ) -> None:
        source = {"kind": "hub", "repository": "a/b", "revision": "main"}
        if field == "package":
            source = {"kind": "package"}
        answer = owner.post(
            f"projects/{world.params['project']}/models",
            json={"name": "x", "source": source | {field: path}},
        )
        if field == "package" and path == "con":
            return  # a valid package name, but no such package is installed
        if field == "revision" and path in {"con", "a/./b"}:
            return  # valid branch names, used only in hub URLs
        assert answer.status_code == 422, answer.text

    @pytest.mark.parametrize("path", HOSTILE)
    @pytest.mark.parametrize("place", ["models", "deployments"])
    def test_hostile_path_as_model_or_deployment_name_is_refused(
        self, owner: Api, world: World, path: str, place: str
    ) -> None:
        body = {"name": path, "source": {"kind": "upload"}}
        if place == "deployments":
            body = {"name": path, "model": world.params["model"]}
        answer = owner.post(f"projects/{world.params['project']}/{place}", json=body)
        assert answer.status_code == 422 or path == "con", answer.text
