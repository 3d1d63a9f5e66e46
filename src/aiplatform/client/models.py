"""The model registry: base models brought in, and what was made of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel

from aiplatform.client.base import Group, Resource, UserRef, as_uuid, purge_time
from aiplatform.client.downloads import download
from aiplatform.client.errors import CorruptDownload, NotFound, NotReady
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_watching import TaskEvent
from aiplatform.client.tasks import Task, TaskLike
from aiplatform.client.transfers import ProgressCallback, body_of
from aiplatform.client.waiting import poll
from aiplatform.language import tr
from aiplatform.protocol.enums import ModelStatus
from aiplatform.protocol.model_sources import HubSource, ModelSource, PackageSource, UploadSource
from aiplatform.protocol.references import DatasetRef, FromTask, ModelReference
from aiplatform.protocol.specs import EvaluationSpec


class ModelRef(BaseModel):
    """A model, where another one names it."""

    uuid: UUID | None = None
    name: str
    version: str | None = None


class Model(Resource):
    """A version of a model in the registry."""

    uuid: UUID
    name: str
    version: str | None = None
    project: UUID | None = None
    status: ModelStatus = ModelStatus.PENDING
    framework: str | None = None
    base_model: ModelRef | None = None
    license: str | None = None
    size: int = 0
    metrics: dict[str, Any] = {}
    card: str | None = None
    facts: dict[str, Any] = {}
    error: str | None = None
    task: UUID | None = None
    experiment: UUID | None = None
    author: UserRef | None = None
    created_at: datetime | None = None

    @property
    def reference(self) -> str:
        """``name@version``, as people write it."""
        return f"{self.name}@{self.version}"

    def refresh(self) -> "Model":
        """Read it again."""
        return self.client.models.get(self.uuid)

    def wait_ready(
        self,
        timeout: float | None = 1800.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> "Model":
        """Wait until its files are in, see :meth:`Models.wait_ready`."""
        return self.client.models.wait_ready(self, timeout, on_event)

    def files(self, *, limit: int | None = None) -> "Pages[ModelFile]":
        """Its files."""
        return self.client.models.files(self, limit=limit)

    def download(self, destination: str | Path, **options: Any) -> Path:
        """Fetch its files into a directory, see :meth:`Models.download`."""
        return self.client.models.download(self, destination, **options)

    def evaluate(self, dataset: DatasetRef | UUID, **options: Any) -> Task:
        """Compare it with its base on held-out rows, see :meth:`Models.evaluate`."""
        return self.client.models.evaluate(self, dataset, **options)

    def lineage(self) -> dict[str, Any]:
        """What it was made of."""
        return self.client.models.lineage(self)

    def delete(self) -> datetime | None:
        """Delete it. Returns until when it can be restored."""
        return self.client.models.delete(self)


class ModelFile(Resource):
    """A file of a model."""

    path: str
    size: int
    sha256: str | None = None


ModelLike = Model | UUID | str
"""A model, its uuid, ``name`` (the newest version) or ``name@version``."""


class Models(Group):
    """``client.models``."""

    def create(
        self,
        name: str,
        source: ModelSource,
        *,
        project: ProjectLike | None = None,
        version: str | None = None,
        license: str | None = None,  # noqa: A002  (the word of the API)
        shared: bool = False,
        secrets: Mapping[str, str] | None = None,
    ) -> Model:
        """Register a model whose files come from ``source``.

        For hub and package the import is queued at once and named in ``task``. ``secrets`` are
        named for the import's environment, such as ``{"HF_TOKEN": "hub"}`` for a gated model.
        """
        body: dict[str, Any] = {"name": name, "source": source}
        if version is not None:
            body["version"] = version
        if license is not None:
            body["license"] = license
        if shared:
            body["shared"] = True
        if secrets:
            body["secrets"] = dict(secrets)
        path = f"{self._client.projects.path(project)}/models"
        return self._make(Model, self._http.post(path, body))

    def import_package(self, package: str, *, name: str | None = None, **options: Any) -> Model:
        """Bring in a model that a Python package installed on the worker ships as data.

        Options are those of :meth:`create`.
        """
        return self.create(name or package, PackageSource(package=package), **options)

    def import_hub(
        self,
        repository: str,
        *,
        name: str | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> Model:
        """Bring in a model of the hub that the server is set to use; ``owner/name``."""
        source = HubSource(repository=repository, revision=revision)
        return self.create(name or repository.rpartition("/")[2], source, **options)

    def import_path(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Model:
        """Upload a model: a directory in Hugging Face's form, or a GGUF file.

        Hidden files are left out. Options are those of :meth:`create`.
        """
        source = Path(path)
        files = list(_files_of(source))
        if not files:
            raise FileNotFoundError(tr("{source} has no files to upload", source=source))
        sizes = [file.stat().st_size for _, file in files]
        model = self.create(name or source.stem, UploadSource(), **options)
        done = 0
        for (relative, file), size in zip(files, sizes, strict=True):
            report = None
            if progress is not None:
                report = _offset(progress, done, sum(sizes))
            self.upload_file(model, relative, file, progress=report)
            done += size
        # The server would say the same, plus the task, if it were asked again.
        return model.model_copy(update={"task": self.start_import(model).uuid})

    def start_import(self, model: Model) -> Task:
        """Queue the import of what was uploaded; also again, after one that failed."""
        return self._make(Task, self._http.post(f"models/{model.uuid}/import"))

    def upload_file(
        self,
        model: Model,
        relative: str | PurePosixPath,
        file: str | Path,
        *,
        progress: ProgressCallback | None = None,
    ) -> None:
        """Send one file of a model whose source is an upload."""
        path = f"models/{model.uuid}/files/{quote(str(relative))}"
        self._http.upload("PUT", path, body_of(file, progress))

    def get(self, model: ModelLike, *, project: ProjectLike | None = None) -> Model:
        """Read one, by uuid, ``name`` (the newest version) or ``name@version``."""
        return self._get(Model, f"models/{self.resolve(model, project)}")

    def wait_ready(
        self,
        model: ModelLike,
        timeout: float | None = 1800.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> Model:
        """Wait until the files of a model are in.

        Raises:
            NotReady: when they could not be brought in.
            WaitTimeout: after ``timeout`` seconds.
        """
        current = model if isinstance(model, Model) else self.get(model)
        if current.status is ModelStatus.PENDING and current.task is not None:
            self._client.tasks.wait(current.task, timeout, on_event, check=False)
        path = f"models/{current.uuid}"
        ready = poll(
            lambda: self._get(Model, path),
            lambda seen: seen.status is not ModelStatus.PENDING,
            timeout=timeout,
            what=tr("{reference} was not ready", reference=current.reference),
        )
        if ready.status is ModelStatus.FAILED:
            reason = tr(": {reason}", reason=ready.error) if ready.error else ""
            raise NotReady(
                tr(
                    "{reference} could not be brought in{reason}",
                    reference=ready.reference,
                    reason=reason,
                )
            )
        return ready

    def evaluate(
        self,
        model: ModelLike | Task,
        dataset: Any,
        *,
        project: ProjectLike | None = None,
        name: str | None = None,
        priority: int | None = None,
        after: Sequence[TaskLike] = (),
        after_any: Sequence[TaskLike] = (),
        **fields: Any,
    ) -> Task:
        """Queue an evaluation: loss, perplexity and answers of a model and its base.

        ``model`` may be the task of a training, whose model is evaluated once it is there;
        ``dataset`` is anything that names one; ``after`` and ``after_any`` as in
        :meth:`Tasks.submit`. ``fields`` are those of
        :class:`~aiplatform.protocol.specs.EvaluationSpec`; with ``pass_if=["loss<=2.0"]`` the task
        fails when that is not so.
        """
        read = model if isinstance(model, Task) else self.get(model, project=project)
        where = project if project is not None else (read.project or None)
        if not isinstance(dataset, DatasetRef):
            dataset = self._client.datasets.reference(dataset, project=where)
        meant = FromTask(from_task=read.uuid) if isinstance(read, Task) else read.uuid
        what = read.name if isinstance(read, Task) else read.reference
        return self._client.tasks.submit(
            EvaluationSpec(model=meant, dataset=dataset, **fields),
            name=name or f"evaluate {what}"[:255],
            project=where,
            priority=priority,
            after=after,
            after_any=after_any,
        )

    def delete(self, model: ModelLike, *, project: ProjectLike | None = None) -> datetime | None:
        """Delete it. Returns until when it can be restored."""
        return purge_time(self._http.request("DELETE", f"models/{self.resolve(model, project)}"))

    def files(
        self, model: ModelLike, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[ModelFile]:
        """Its files."""
        return self._pages(ModelFile, f"models/{self.resolve(model, project)}/files", limit=limit)

    def lineage(self, model: ModelLike, *, project: ProjectLike | None = None) -> dict[str, Any]:
        """The dataset versions, base model, task and experiment that it comes from."""
        return dict(self._http.get(f"models/{self.resolve(model, project)}/lineage"))

    def download(
        self,
        model: ModelLike,
        destination: str | Path,
        *,
        project: ProjectLike | None = None,
        only: Callable[[str], bool] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Fetch the files of a model into the directory ``destination``, each verified.

        Args:
            model: which one.
            destination: a directory, created when missing.
            project: where to look for a name.
            only: says by path which files are wanted, for instance those under ``adapter/``.
            progress: called with bytes done and bytes in all.
        """
        uuid = self.resolve(model, project)
        root = Path(destination)
        wanted = [file for file in self.files(uuid) if only is None or only(file.path)]
        total = sum(file.size for file in wanted)
        done = 0
        for file in wanted:
            target = root.joinpath(*_safe_parts(file.path))
            report = None if progress is None else _offset(progress, done, total)
            download(
                self._http,
                f"models/{uuid}/files/{quote(file.path)}",
                target,
                sha256=file.sha256,
                progress=report,
            )
            done += file.size
        return root

    def resolve(self, model: ModelLike, project: ProjectLike | None = None) -> UUID:
        """The uuid that is meant; without a version, the newest one that is ready.

        The project's own models are looked through first, then the shared ones.

        Raises:
            NotFound: when there is no such model.
        """
        if isinstance(model, Model):
            return model.uuid
        uuid = as_uuid(model)
        if uuid is not None:
            return uuid
        meant = ModelReference.model_validate(str(model))
        found = [
            candidate
            for candidate in self.list(project=project, name=meant.name, version=meant.version)
            if candidate.name == meant.name
        ] or [
            candidate
            for candidate in self.list_all(name=meant.name, version=meant.version)
            if candidate.name == meant.name and candidate.project is None
        ]
        if meant.version is not None:
            found = [candidate for candidate in found if candidate.version == meant.version]
        if not found:
            raise NotFound(
                tr("no model that you may use is named {model}", model=model),
                code="client.no_such_name",
                hint=tr("`aiplatform models ls` shows them."),
            )
        return max(found, key=_age).uuid

    def list_all(self, *, limit: int | None = None, **filters: Any) -> Pages[Model]:
        """Shared models and those of every project that you may see."""
        return self._pages(Model, "models", limit=limit, **filters)

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Model]:
        """The models of a project; filters are ``name`` and ``version``."""
        path = f"{self._client.projects.path(project)}/models"
        return self._pages(Model, path, limit=limit, **filters)


def _age(model: Model) -> tuple[bool, int]:
    """Sorts the newest usable version last."""
    version = model.version or ""
    return model.status is ModelStatus.READY, int(version) if version.isdigit() else 0


def _files_of(source: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """The files below ``source`` and their paths relative to it."""
    if source.is_file():
        yield PurePosixPath(source.name), source
        return
    if not source.is_dir():
        raise FileNotFoundError(tr("{source} does not exist", source=source))
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if file.is_file() and not any(part.startswith(".") for part in relative.parts):
            yield PurePosixPath(relative.as_posix()), file


def _safe_parts(path: str) -> tuple[str, ...]:
    """The parts of a relative path from the server; never one that leaves the directory."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or any(p == ".." or "\\" in p or ":" in p for p in parts):
        raise CorruptDownload(
            tr("the server named a file {path!r}, which is no safe path", path=path)
        )
    return parts


def _offset(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """Report one file as its share of all."""
    return lambda done, _: progress(before + done, total)
