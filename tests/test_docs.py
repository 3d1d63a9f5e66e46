"""Tests that the documentation matches the code: generated pages, commands, links, settings."""

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from aiplatform.protocol.enums import TaskType

ROOT = Path(__file__).parents[1]
GENERATED = ("api.md", "cli.md", "settings.md")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
DEPLOY = sorted(path for path in (ROOT / "deploy").iterdir() if path.is_file())
SHELL = {"bash", "console", "sh", "shell"}
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    """Return the path relative to the repository's root, as the id of a test parameter."""
    return path.relative_to(ROOT).as_posix()


def fences(page: Path, *languages: str) -> list[str]:
    """Return the code blocks of a page that are in one of ``languages``."""
    return [
        code for language, code in FENCE.findall(page.read_text("utf-8")) if language in languages
    ]


def shell_commands(text: str) -> Iterator[list[str]]:
    """Yield the commands in a shell script as lists of words.

    Comments and variables set before a command are left out.
    """
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";|&"):
                while command and re.fullmatch(r"[A-Za-z_]+=.*", command[0]):
                    command.pop(0)
                if command:
                    yield command
                command = []
            else:
                command.append(word)


def inline_commands(page: Path) -> list[str]:
    """Return the texts between backticks that begin with ``aiplatform``."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    return re.findall(r"`(aiplatform(?: [^`]*)?)`", prose)


@pytest.fixture(scope="module")
def command_line() -> Any:
    """Return the platform's command line as one Click command."""
    from aiplatform.cli.main import app

    return typer.main.get_command(app)


def resolve(root: Any, words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that ``words`` name, and the remaining words."""
    command, rest = root, words[1:]
    while rest and (children := getattr(command, "commands", None)) is not None:
        if rest[0].startswith("-"):
            break
        assert rest[0] in children, f"there is no command {' '.join(words)!r}"
        command, rest = children[rest[0]], rest[1:]
    return command, rest


def parse(command: Any, arguments: list[str]) -> None:
    """Parse ``arguments`` as the command does, without running it.

    An unknown option or a missing argument raises the command line's error.
    """
    command.make_context("aiplatform", list(arguments))


# --- generated pages --------------------------------------------------------------------------


def test_api_page_lists_all_routes() -> None:
    from aiplatform.server.app import create_app

    page = (ROOT / "docs/api.md").read_text("utf-8")
    described = create_app().openapi()["paths"]
    assert len(described) > 40
    for path, methods in described.items():
        for method in methods:
            assert f"| `{method.upper()}` | `{path}` |" in page


def test_generated_pages_are_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("name", ["docs/security.md", "docs/zh/security.md"])
def test_security_page_names_existing_tests(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    named = re.findall(r"`([^`]*\btests?[/_][^`]*)`", page)
    assert len(named) > 50
    for path, _, what in (test.partition("::") for test in named):
        assert (ROOT / path).exists(), path
        if what:
            assert f"class {what}:" in (ROOT / path).read_text("utf-8"), what


def test_pages_name_all_benchmarks_domains_and_task_types() -> None:
    page, _, measured = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Measured")
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - load_benchmarks().PARTS
    assert set(re.findall(r"^\| `(\w+)` \|", measured, re.MULTILINE)) == programs
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in contracts["contracts"] if "containers" in each)
    domains = {path.name for path in (ROOT / "src/aiplatform/server").iterdir()}
    order = page.partition("only those to its right:")[2].partition(".")[0].split("→")
    assert [set(re.findall(r"\w+", part)) for part in order] == [
        domains.intersection(re.findall(r"\w+", layer)) for layer in layers[2:]
    ]
    types = (ROOT / "docs/tasks.md").read_text("utf-8").partition("##")[0]
    assert set(re.findall(r"`(\w+)`", types)) == set(TaskType)


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_commands_in_code_blocks_can_be_parsed(page: Path, command_line: Any) -> None:
    for code in fences(page, *SHELL):
        for words in shell_commands(code):
            if words[0] == "aiplatform":
                command, rest = resolve(command_line, words)
                parse(command, rest)


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_commands_in_text_exist(page: Path, command_line: Any) -> None:
    for text in inline_commands(page):
        words = shlex.split(text.replace("…", ""))
        # Words in capitals are placeholders.
        if any(word.isupper() for word in words[1:2]):
            continue
        command, rest = resolve(command_line, words)
        known = {name for p in command.params for name in [*p.opts, *p.secondary_opts]} | {"--help"}
        options = {word.partition("=")[0] for word in rest if word.startswith("-")}
        assert options <= known, f"`{text}` has unknown options"


def test_command_options_have_unique_names(command_line: Any) -> None:
    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(f"{path} {name}", child)

    for path, command in walk("aiplatform", command_line):
        names = [name for p in command.params for name in [*p.opts, *p.secondary_opts]]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"{path} gives {', '.join(sorted(twice))} two meanings"


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", page.read_text("utf-8")))
    for code in fences(page, *SHELL):
        named |= {words[1] for words in shell_commands(code) if words[0] == "make" and words[1:]}
    assert named <= targets


def test_make_lists_its_targets() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "up", "test", "check", "fix", "bench", "docs"):
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), listed


# --- Python -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_python_code_blocks_use_existing_names(page: Path, tmp_path: Path) -> None:
    from aiplatform import Client

    client = Client("http://127.0.0.1:1", credentials=tmp_path / "none.json")
    for code in fences(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("client."):
                path = ast.unparse(node).split(".")[1:]
                if all(part.isidentifier() for part in path):
                    found: Any = client
                    for part in path:
                        # This reads properties such as openai_url, but calls no methods.
                        found = getattr(found, part)


# --- settings ---------------------------------------------------------------------------------


def known_variables() -> set[str]:
    """Return every AIPLATFORM_ variable that the code names or a setting defines."""
    from aiplatform.server.core.settings import Settings

    known = {f"AIPLATFORM_{name.upper()}" for name in Settings.model_fields}
    for path in (ROOT / "src").rglob("*.py"):
        known |= set(re.findall(r"AIPLATFORM_[A-Z_]*[A-Z]", path.read_text("utf-8")))
    return known


@pytest.mark.parametrize("page", [*PAGES, *DEPLOY], ids=name_of)
def test_settings_on_pages_exist(page: Path) -> None:
    named = set(re.findall(r"AIPLATFORM_[A-Z_]*[A-Z]", page.read_text("utf-8")))
    # With the suffix _FILE, a variable names a file that contains the value.
    known = known_variables()
    assert named <= known | {f"{name}_FILE" for name in known}


def test_variables_in_code_are_documented() -> None:
    documented = (ROOT / "docs/settings.md").read_text("utf-8")
    read = set()
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text("utf-8")
        read |= set(re.findall(r"""(?:environ(?:\.get\(|\[)|envvar=)"(AIPLATFORM_[A-Z_]+)""", text))
    assert {name for name in read if f"`{name}`" not in documented} == set()


# --- links ------------------------------------------------------------------------------------


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as mkdocs builds them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"[-\s]+", "-", text).strip("-") for text in words}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    prose = FENCE.sub("", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        assert path.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors_of(path), f"{link} names no heading"


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_files_on_pages_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:deploy|docs|examples|benchmarks)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_places_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    roots = (ROOT, ROOT / "src/aiplatform", ROOT / "src/aiplatform/server")
    named = re.findall(r"`((?:\w+/)+[\w.]*|\w+\.(?:py|md))`", text)
    assert len(named) > 20
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


def test_map_of_the_code_lists_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Layout of the code")[2]
    source = ROOT / "src/aiplatform"
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    assert (
        set(re.findall(r"^\| `(\w+)` \|", text.partition("Within `server`")[0], re.MULTILINE))
        == packages
    )
    order = text.partition("only those to its right:")[2].partition(".")[0]
    domains = {path.parent.name for path in (source / "server").glob("*/__init__.py")}
    assert set(re.findall(r"`(\w+)`", order)) == domains


def test_navigation_lists_every_page() -> None:
    _, _, navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    docs = ROOT / "docs"
    assert listed == {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    linked = set(re.findall(r"\(([\w/-]+\.md)\)", (docs / "index.md").read_text("utf-8")))
    assert {page for page in listed - linked if not page.startswith("adr/0")} == {"index.md"}


class Loads(HTMLParser):
    """A parser that collects the addresses that a browser loads automatically for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the addresses in a tag, except the page's canonical address."""
        values = dict(attrs)
        if tag in {"script", "img", "iframe", "source"} and values.get("src"):
            self.found.append(str(values["src"]))
        if tag == "link" and values.get("rel") != "canonical" and values.get("href"):
            self.found.append(str(values["href"]))


def test_site_builds_and_loads_nothing_from_other_servers(tmp_path: Path) -> None:
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text("utf-8"))
        assert [address for address in loads.found if re.match(r"(https?:)?//", address)] == []


# --- deploy/ ----------------------------------------------------------------------------------


def test_units_and_containers_run_existing_commands(command_line: Any) -> None:
    commands = []
    for unit in (ROOT / "deploy").glob("*.service"):
        lines = re.findall(r"^Exec\w+=(\S+/aiplatform .*)$", unit.read_text("utf-8"), re.MULTILINE)
        assert lines
        commands += [["aiplatform", *shlex.split(line)[1:]] for line in lines]
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    commands += [
        ["aiplatform", *service["command"]]
        for service in compose["services"].values()
        if "build" in service
    ]
    assert len(commands) >= 6
    for words in commands:
        command, rest = resolve(command_line, words)
        parse(command, rest)


CAPABILITIES = {"SYS_ADMIN", "SETUID", "SETGID", "CHOWN", "FOWNER", "DAC_OVERRIDE", "KILL"}
"""Linux capabilities that root keeps in the script worker."""


def test_script_worker_has_same_capabilities_in_unit_and_container() -> None:
    unit = (ROOT / "deploy/aiplatform-script-worker.service").read_text("utf-8")
    line = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert line is not None
    assert {name.removeprefix("CAP_") for name in line[1].split()} == CAPABILITIES
    assert "NoNewPrivileges=true" in unit
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
    worker = compose["services"]["script-worker"]
    assert (worker["cap_drop"], set(worker["cap_add"])) == (["ALL"], CAPABILITIES)
    assert "no-new-privileges:true" in worker["security_opt"]


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can give up capabilities",
)
def test_script_worker_capabilities_are_enough_for_a_sandbox() -> None:
    examine = [sys.executable, "-m", "aiplatform.runtime.script.isolation"]
    whole = json.loads(subprocess.check_output(examine, cwd="/"))
    if not whole["isolated"]:
        pytest.skip(f"this machine can't isolate scripts: {whole['reason']}")
    kept = "-all," + ",".join(f"+{name.lower()}" for name in sorted(CAPABILITIES))
    bounded = ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={kept}"]
    assert json.loads(subprocess.check_output([*bounded, *examine], cwd="/")) == whole
    none = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    assert not json.loads(subprocess.check_output([*none, *examine], cwd="/"))["isolated"]


def test_script_worker_settings_name_its_own_queue() -> None:
    from aiplatform.server.core.settings import Settings

    lines = (ROOT / "deploy/script-worker.env").read_text("utf-8").splitlines()
    values = (line.split("=", 1) for line in lines if line.startswith("AIPLATFORM_"))
    given = {name.removeprefix("AIPLATFORM_").lower(): value for name, value in values}
    settings = Settings(**given)  # type: ignore[arg-type]
    assert settings.scripts
    assert settings.worker_queues == ["scripts"]
    assert "#AIPLATFORM_SCRIPT_QUEUE=scripts" in (ROOT / "deploy/aiplatform.env").read_text("utf-8")


def test_environment_file_is_valid_settings() -> None:
    from aiplatform.server.core.settings import Settings

    lines = (ROOT / "deploy/aiplatform.env").read_text("utf-8").splitlines()
    values = (line.split("=", 1) for line in lines if line.startswith("AIPLATFORM_"))
    given = {name.removeprefix("AIPLATFORM_").lower(): value for name, value in values}
    settings = Settings(**given)  # type: ignore[arg-type]
    assert settings.port == 8400
    assert settings.blobs_url.startswith("file:///")


# --- benchmarks -------------------------------------------------------------------------------


def load_benchmarks() -> Any:
    """Import ``benchmarks/run.py`` as a module."""
    spec = importlib.util.spec_from_file_location("bench_run", ROOT / "benchmarks/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (250, "<= 250", True),
        (250.1, "<= 250", False),
        (0.96, ">= 0.95", True),
        (0.94, ">=0.95", False),
        (300, "< 300", False),
        (301, "> 300", True),
        (3, 5, True),
        (6, 5.0, False),
        (1, None, None),
    ],
)
def test_benchmark_target_is_met_or_not(value: float, target: Any, met: bool | None) -> None:
    assert load_benchmarks().is_met(value, target) is met


def test_benchmark_target_without_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a target"):
        load_benchmarks().is_met(1, "fast")


def test_benchmark_output_is_collected(tmp_path: Path) -> None:
    program = tmp_path / "sample.py"
    program.write_text(
        "print('noise')\n"
        'print(\'{"name": "a", "value": 2, "unit": "s", "baseline": 4}\')\n'
        "raise SystemExit(3)\n"
    )
    bench = load_benchmarks()
    figures: list[dict[str, Any]] = []
    assert bench.run("sample", program, figures) is False
    assert figures == [{"benchmark": "sample", "name": "a", "value": 2, "unit": "s", "baseline": 4}]
    assert bench.ratio(2, 4) == 0.5
    assert bench.ratio(2, None) is None
