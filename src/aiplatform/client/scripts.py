"""Scripts: your own commands, run as tasks on reproducibly packed code bundles."""

import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from pathspec import GitIgnoreSpec

from aiplatform.client.base import Group, Pages, Resource
from aiplatform.client.dataset_paths import DatasetPaths
from aiplatform.client.downloads import download
from aiplatform.client.errors import ClientError
from aiplatform.client.models import Model, Models
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import Task, Tasks
from aiplatform.client.transfers import body_of
from aiplatform.client.transport import decoded
from aiplatform.data.bundles import MAX_FILES, MAX_PATH, MAX_UNPACKED_BYTES
from aiplatform.language import tr
from aiplatform.protocol.names import nearest_name
from aiplatform.protocol.shapes.experiments import BundleOut
from aiplatform.protocol.specs import ScriptSpec

IGNORED_DIRECTORIES = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache",
     ".ruff_cache", "node_modules"}
)  # fmt: skip
"""Names of directories that are never packed."""

VENV_MARK = "pyvenv.cfg"
"""Name of a file that every virtual environment contains, whatever its directory is called."""

LEAVE_OUT = "Exclude it in .gitignore, or name a smaller directory (--directory)."
CHECK_GITIGNORE = "Files that .gitignore excludes are not packed."

Progress = Callable[[int, int], None]


class Bundle(Resource, BundleOut):
    """A code bundle that scripts run; ``size`` and ``unpacked_bytes`` are in bytes."""

    def download(self, directory: Path | str = ".") -> Path:
        """Download the archive to a directory and check it against its hash."""
        path = Path(directory) / f"{self.name}.tar.gz"
        return download(
            self._client.transport, f"bundles/{self.uuid}/content", path, sha256=self.sha256
        )

    def delete(self) -> None:
        """Delete the bundle; the server rejects this while a waiting or running task needs it."""
        self._client.transport.request("DELETE", f"bundles/{self.uuid}")


@dataclass(frozen=True)
class PackedBundle:
    """A packed bundle, with the directory or commit that it was made from."""

    content: bytes
    source: dict[str, str]


def pack_directory(directory: Path, *, on_progress: Progress | None = None) -> PackedBundle:
    """Pack the files in a directory, except files that git ignores and virtual environments.

    Names and sizes are checked before any file is read, so that an invalid directory is refused
    immediately.

    Args:
        directory: the directory to pack.
        on_progress: called with the bytes packed so far and the bytes of all files: first with 0,
            then after each file.

    Raises:
        ClientError: for a symbolic link, for more files or bytes than a bundle can hold, or if
            there are no files.
    """
    found = list_files(directory)
    total = sum(found.values())
    report = on_progress or (lambda _done, _total: None)
    report(0, total)
    done = 0
    buffer = io.BytesIO()
    with _gzipped(buffer) as compressed, tarfile.open(fileobj=compressed, mode="w|") as archive:
        for path in found:
            info = tarfile.TarInfo(path.relative_to(directory).as_posix())
            with path.open("rb") as content:
                status = os.fstat(content.fileno())
                info.size = status.st_size
                info.mode = 0o755 if status.st_mode & 0o100 else 0o644
                archive.addfile(info, content)
            done += info.size
            report(done, total)
    return PackedBundle(buffer.getvalue(), {"directory": directory.resolve().name})


def list_files(directory: Path) -> dict[Path, int]:
    """Return the files that a bundle of the directory would contain, with their sizes in bytes.

    The files are in the order in which they would be packed.

    Raises:
        ClientError: if a bundle can't hold one of the files, or there are none.
    """
    found: dict[Path, int] = {}
    total = 0
    for path in _files(directory):
        size = path.stat().st_size
        total += size
        found[path] = size
        if len(found) > MAX_FILES:
            raise ClientError(
                tr(
                    "{directory} has more than {most:,} files, the maximum of a bundle; {path} "
                    "is one of them. {hint}",
                    directory=directory,
                    most=MAX_FILES,
                    path=path,
                    hint=tr(LEAVE_OUT),
                )
            )
        if total > MAX_UNPACKED_BYTES:
            largest = max(found, key=found.__getitem__)
            raise ClientError(
                tr(
                    "{directory} has more than {most} MiB, the maximum of a bundle; the "
                    "largest file so far is {largest} ({size} MiB). {hint}",
                    directory=directory,
                    most=MAX_UNPACKED_BYTES >> 20,
                    largest=largest,
                    size=found[largest] >> 20,
                    hint=tr(LEAVE_OUT),
                )
            )
        if len(path.relative_to(directory).as_posix()) > MAX_PATH:
            raise ClientError(
                tr(
                    "{path} has a path of more than {most} characters. {hint}",
                    path=path,
                    most=MAX_PATH,
                    hint=tr(LEAVE_OUT),
                )
            )
    if not found:
        raise ClientError(
            tr(
                "{directory} has no files to pack. {hint}",
                directory=directory,
                hint=tr(CHECK_GITIGNORE),
            )
        )
    return found


def pack_commit(repository: Path, commit: str) -> PackedBundle:
    """Pack the files of a commit in a local git repository, without uncommitted changes.

    Raises:
        ClientError: if git is missing, or there is no such commit.
    """
    if commit.startswith("-"):
        raise ClientError(tr("{commit!r} is not a commit", commit=commit))
    sha = _git(repository, "rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    archive = _git(repository, "archive", "--format=tar", sha)
    buffer = io.BytesIO()
    with _gzipped(buffer) as compressed:
        compressed.write(archive)
    source = {"commit": sha}
    try:
        remote = _git(repository, "remote", "get-url", "origin").decode().strip()
    except ClientError:  # the repository has no such remote
        return PackedBundle(buffer.getvalue(), source)
    return PackedBundle(buffer.getvalue(), {**source, "remote": _without_password(remote)})


def _without_password(remote: str) -> str:
    scheme, separator, rest = remote.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else remote


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise ClientError(tr("git is not installed")) from error
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise ClientError(
            tr("git {command} failed: {message}", command=arguments[0], message=message)
        )
    return done.stdout


def _gzipped(buffer: BinaryIO) -> gzip.GzipFile:
    # Leave out the time of packing, so that the same code has the same hash.
    return gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0)


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files to pack, folder by folder, sorted by name within each folder."""
    ignored = Ignored(directory)
    for place, inner, names in os.walk(directory):
        folder = Path(place)
        ignored.read(folder)
        links = [name for name in inner if (folder / name).is_symlink()]
        inner[:] = sorted(
            name
            for name in inner
            if name not in IGNORED_DIRECTORIES
            and name not in links
            and not (folder / name / VENV_MARK).is_file()
            and not ignored.matches(folder / name, is_directory=True)
        )
        for name in sorted([*names, *links]):
            path = folder / name
            is_link = path.is_symlink()
            if (
                path.suffix == ".pyc"
                or ignored.matches(path)
                or (is_link and name in IGNORED_DIRECTORIES)
            ):
                continue
            if is_link:
                raise ClientError(
                    tr(
                        "{path} is a symbolic link, which a bundle can't contain. {hint}",
                        path=path,
                        hint=tr(LEAVE_OUT),
                    )
                )
            if path.is_file():
                yield path


class Ignored:
    """The ``.gitignore`` patterns of a directory and of the repository that contains it."""

    def __init__(self, directory: Path) -> None:
        self._specs: dict[Path, GitIgnoreSpec] = {}
        self._top = directory.resolve()
        if not (self._top / ".git").exists():
            for above in self._top.parents:
                if (above / ".git").exists():
                    self._top = above
                    break
        for parent in directory.resolve().parents:
            if parent.is_relative_to(self._top):
                self.read(parent)

    def read(self, folder: Path) -> None:
        """Add the patterns of the folder's own ``.gitignore``."""
        with suppress(OSError):
            lines = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace")
            self._specs[folder.resolve()] = GitIgnoreSpec.from_lines(lines.splitlines())

    def matches(self, path: Path, *, is_directory: bool = False) -> bool:
        """Return True if git ignores the path; the nearest file with a matching pattern decides."""
        own = path.parent.resolve() / path.name
        for folder in own.parents:
            if folder in self._specs:
                name = own.relative_to(folder).as_posix() + ("/" if is_directory else "")
                included = self._specs[folder].check_file(name).include
                if included is not None:
                    return included
            if folder == self._top:
                break
        return False


class Scripts(Group):
    """The operations on scripts (``client.scripts``), which run your own code as tasks.

    For example::

        task = client.scripts.run(["python", "train.py"], directory=".", project="demo",
                                  datasets={"faq": "faq@v3"})
        task.wait().artifacts()
    """

    def bundle(
        self,
        directory: Path | str = ".",
        *,
        commit: str | None = None,
        name: str | None = None,
        project: ProjectLike | None = None,
        on_progress: Progress | None = None,
    ) -> Bundle:
        """Upload code: the files in a directory or, with ``commit``, those in a git commit.

        Files matched by ``.gitignore`` and virtual environments are left out. ``on_progress`` is
        called while a directory is packed; see :func:`pack_directory`.

        Raises:
            ClientError: if the code can't be packed.
            ApiError: with the code ``script.not_allowed`` if no administrator has allowed scripts.
        """
        path = Path(directory)
        if commit is None:
            packed = pack_directory(path, on_progress=on_progress)
        else:
            packed = pack_commit(path, commit)
        bundle_name = name or nearest_name(path.resolve().name, longest=60) or "code"
        return self._upload(packed, bundle_name, project)

    def run(
        self,
        command: Sequence[str],
        *,
        directory: Path | str = ".",
        commit: str | None = None,
        bundle: Bundle | UUID | None = None,
        name: str | None = None,
        environment: str = "default",
        datasets: Mapping[str, str] | None = None,
        models: Mapping[str, Model | str] | None = None,
        variables: Mapping[str, str] | None = None,
        priority: int = 5,
        project: ProjectLike | None = None,
        on_progress: Progress | None = None,
        **options: Any,
    ) -> Task:
        """Queue a command that runs on an existing ``bundle``, or on code that is uploaded first.

        Args:
            command: the program and its arguments; no shell is involved.
            directory: the directory with the code.
            commit: pack the files of this git commit instead of the working files.
            bundle: code that was uploaded before.
            name: the name of the task; by default the command.
            environment: the name of an environment that workers offer.
            datasets: ``NAME`` or ``NAME@VERSION``, keyed by the name under which the script finds
                the file, ``$AIPLATFORM_INPUTS/datasets/….parquet``.
            models: the same for models, as ``$AIPLATFORM_INPUTS/models/…/``.
            variables: environment variables. For secrets, use ``secrets`` instead.
            priority: 1 to 10; higher priorities start first.
            project: the project; by default the client's.
            on_progress: called while the directory is packed; see :func:`pack_directory`.
            options: further fields of the spec, such as ``resources``, ``max_disk_mb``, ``labels``,
                ``secrets``, ``time_limit_seconds``. With ``processes`` and ``nodes``, the command
                runs as several processes, each with torchrun's variables.
        """
        if bundle is None:
            bundle = self.bundle(directory, commit=commit, project=project, on_progress=on_progress)
        refs = {
            key: DatasetPaths(self._client).reference(value, project=project)
            for key, value in (datasets or {}).items()
        }
        found = {
            key: value
            if isinstance(value, Model)
            else Models(self._client).get(value, project=project)
            for key, value in (models or {}).items()
        }
        spec = ScriptSpec(
            bundle=bundle.uuid if isinstance(bundle, Bundle) else bundle,
            command=list(command),
            environment=environment,
            datasets=refs,
            models={key: model.uuid for key, model in found.items()},
            variables=dict(variables or {}),
            **options,
        )
        return Tasks(self._client).submit(
            spec, name=name or " ".join(command)[:100], priority=priority, project=project
        )

    def bundles(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[Bundle]:
        """List the code bundles of the project, newest first."""
        return self._pages(Bundle, f"{Projects(self._client).path(project)}/bundles", limit=limit)

    def get_bundle(self, uuid: UUID | str) -> Bundle:
        """Read a code bundle."""
        return self._make(Bundle, decoded(self._http.request("GET", f"bundles/{uuid}")))

    def _upload(self, packed: PackedBundle, name: str, project: ProjectLike | None) -> Bundle:
        answer = self._http.upload(
            "POST",
            f"{Projects(self._client).path(project)}/bundles",
            body_of(packed.content),
            params={"name": name, **packed.source},
        )
        return self._make(Bundle, answer)
