"""Attack: hostile names of model files, in uploads over HTTP and in file lists of model hubs."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.hub import choose, parse_modelscope_listing
from aiplatform.server.registry.rules import path_error
from tests.conftest import Api
from tests.matrix.world import World

REFUSED = {
    "NUL in the middle": "config.json\x00.txt",
    "NUL at the end": "config.json\x00",
    "newline": "a\nb.json",
    "newline at the end": "config.json\n",
    "carriage return": "a\rb.json",
    "tab": "a\tb.json",
    "escape sequence": "\x1b[2Jconfig.json",
    "right to left": "model\u202egnp.safetensors",
    "isolate": "\u2066model\u2069.json",
    "mark of direction": "\u200fconfig.json",
    "zero width": "con\u200bfig.json",
    "no-break space": "config\u00a0.json",
    "byte order mark": "\ufeffconfig.json",
    "composed": "caf\u00e9.json",
    "decomposed": "cafe\u0301.json",
    "Cyrillic letter": "\u0441onfig.json",
    "fullwidth": "\uff43onfig.json",
    "fullwidth dots": "\uff0e\uff0e/x",
    "one dot leader": "\u2024\u2024/x",
    "division slash": "a\u2215b",
    "Kelvin sign": "\u212aey.json",
    "dotless i": "conf\u0131g.json",
    "long s": "token\u017f.json",
    "300 characters": "a" * 300,
    "256 characters": "a" * 256,
    "folder of 300 characters": f"{'a' * 300}/config.json",
    "500 characters": "/".join(["a" * 99] * 5),
    "250 folders": "a/" * 250 + "b",
    "parent": "../config.json",
    "parent inside": "a/../../config.json",
    "absolute": "/etc/passwd",
    "two slashes": "//etc/passwd",
    "empty part": "a//b.json",
    "dot as a part": "a/./b.json",
    "backslashes": "..\\..\\config.json",
    "drive": "C:config.json",
    "stream": "config.json:hidden",
    "home": "~/config.json",
    "hidden": ".bashrc",
    "hidden folder": ".git/hooks/post-checkout",
    "percent": "%2e%2e/config.json",
    "device": "con",
    "device with an ending": "NUL.json",
    "device in a folder": "a/aux.safetensors",
    "port": "COM1.txt",
    "console": "CONIN$",
    "console out": "conout$.json",
    "port with a raised digit": "com\u00b9.json",
    "dot at the end": "config.json.",
    "space at the end": "config.json ",
    "space at the beginning": " config.json",
    "wildcard": "*.safetensors",
    "question mark": "config?.json",
    "pipe": "|sh",
    "dollar": "$HOME.json",
    "backticks": "`id`.json",
    "quotes": '"config".json',
    "template": "{{config}}.json",
}
"""File names that are refused on every operating system, keyed by description."""

COLLIDING = [
    ("Config.json", "config.json"), ("a/b.json", "A/b.json"), ("a/b.json", "a/B.JSON"),
    ("a", "a/b.json"), ("a/b.json", "a"), ("A", "a/b.json"), ("a/b.json", "A"),
    ("a/b/c.json", "a/B"), ("TOKENIZER.JSON", "tokenizer.json"),
]  # fmt: skip


@pytest.fixture
def model(owner: Api, world: World) -> str:
    made = owner.post(
        f"projects/{world.params['project']}/models",
        json={"name": "mine", "source": {"kind": "upload"}},
    )
    return f"models/{made.json()['uuid']}/files"


def kept(owner: Api, model: str) -> list[str]:
    return [item["path"] for item in owner.get(model).json()["items"]]


@pytest.mark.parametrize("what", REFUSED)
def test_hostile_name_is_refused(what: str) -> None:
    """Check that the name breaks the rule for file names, and that the error text is printable."""
    fault = path_error(REFUSED[what])
    assert fault is not None
    assert (fault.en + fault.zh).isprintable()


def test_upload_with_hostile_name_is_refused(
    owner: Api, world: World, model: str, server_url: str
) -> None:
    """Send the names percent-encoded, because HTTP clients normalise or refuse many of them."""
    answers = {}
    for what, name in REFUSED.items():
        connection = HTTPConnection(urlsplit(server_url).netloc, timeout=60)
        with closing(connection):
            connection.request(
                "PUT",
                f"/api/v1/{model}/{quote(name, safe='/')}",
                body=b"x",
                headers={"Authorization": f"Bearer {world.tokens['owner']}"},
            )
            answer = connection.getresponse()
            answers[what] = (answer.status, json.loads(answer.read())["code"])
    assert answers == dict.fromkeys(REFUSED, (422, "file.invalid_path"))
    assert kept(owner, model) == []


@pytest.mark.parametrize(("first", "second"), COLLIDING)
def test_upload_with_name_that_collides_on_some_systems_is_refused(
    owner: Api, model: str, first: str, second: str
) -> None:
    assert owner.put(f"{model}/{first}", content=b"one").status_code == 200
    answer = owner.put(f"{model}/{second}", content=b"two")
    assert answer.status_code in {409, 422}, answer.text
    assert [path.removeprefix("source/") for path in kept(owner, model)] == [first]


LISTED = [
    "../evil.safetensors", "/etc/evil.safetensors", "a/../../evil.safetensors",
    "..\\evil.safetensors", "C:evil.safetensors", "evil\x00.safetensors", "evil\n.safetensors",
    "\u202eevil.safetensors", "e" * 300 + ".safetensors", ".safetensors", "..safetensors",
    "*.safetensors", "[a-z].safetensors", "e|sh.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTED, ids=lambda name: repr(name[:20]))
def test_hub_listing_with_hostile_name_is_refused(name: str) -> None:
    """Check that only plain names at the top level of a hub's listing become files."""
    listing: Any = {"Data": {"Files": [{"Path": name, "Size": 4, "Type": "blob"}]}}
    with pytest.raises(JobError):
        choose(parse_modelscope_listing(listing, "a/b"), "a/b")


def test_malformed_hub_listing_is_refused() -> None:
    for path in (None, 7, ["a"], {"a": 1}, ""):
        with pytest.raises(JobError):
            choose(parse_modelscope_listing({"Data": {"Files": [{"Path": path}]}}, "a/b"), "a/b")
    for answer in ({"Data": 7}, {"Data": {"Files": 7}}, {"Data": {"Files": [7]}}, {"Data": [1]},
                   {"Data": {"Files": [{"Path": "a.gguf", "Size": "many"}]}},
                   {"Data": {"Files": [{"Path": "a.gguf", "Size": -5}]}}):  # fmt: skip
        with pytest.raises(JobError):
            parse_modelscope_listing(answer, "a/b")
