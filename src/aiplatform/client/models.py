"""The model registry: imported base models, the models trained from them, and aliases."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid, purge_time
from aiplatform.client.dataset_paths import DatasetPaths
from aiplatform.client.downloads import download
from aiplatform.client.errors import CorruptDownload, NotFound, NotReady
from aiplatform.client.polling import poll
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import Task, TaskEvent, TaskLike, Tasks
from aiplatform.client.transfers import ProgressCallback, body_of
from aiplatform.client.transport import segment
from aiplatform.language import tr
from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import ModelStatus
from aiplatform.protocol.model_sources import HubSource, ModelSource, PackageSource, UploadSource
from aiplatform.protocol.references import DatasetRef, FromTask, ModelReference
from aiplatform.protocol.shapes.models import (
    ModelAliasMoveOut,
    ModelAliasOut,
    ModelFileOut,
    ModelOut,
)
from aiplatform.protocol.specs import EvaluationSpec


class Model(Resource, ModelOut):
    """A version of a model in the registry."""

    @property
    def reference(self) -> str:
        """The reference ``name@version``."""
        return f"{self.name}@{self.version}"

    def refresh(self) -> "Model":
        """Read the model again."""
        return Models(self._client).get(self.uuid)

    def wait_ready(
        self,
        timeout: float | None = 1800.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> "Model":
        """Wait until the model's files are imported; see :meth:`Models.wait_ready`."""
        return Models(self._client).wait_ready(self, timeout, on_event)

    def files(self, *, limit: int | None = None) -> "Pages[ModelFile]":
        """List the files of the model."""
        return Models(self._client).files(self, limit=limit)

    def download(self, destination: str | Path, **options: Any) -> Path:
        """Download the files to a directory; see :meth:`Models.download`."""
        return Models(self._client).download(self, destination, **options)

    def evaluate(self, dataset: DatasetRef | UUID, **options: Any) -> Task:
        """Compare the model with its base model on held-out rows; see :meth:`Models.evaluate`."""
        return Models(self._client).evaluate(self, dataset, **options)

    def lineage(self) -> dict[str, Any]:
        """Return the data and models from which the model was made; see :meth:`Models.lineage`."""
        return Models(self._client).lineage(self)

    def set_alias(self, alias: str, **options: Any) -> "ModelAlias":
        """Point an alias to this version; see :meth:`Models.set_alias`."""
        return Models(self._client).set_alias(self, alias, **options)

    def delete(self) -> datetime | None:
        """Delete the model.

        Returns:
            The time until which it can be restored from the bin; None if it was deleted
            permanently.
        """
        return Models(self._client).delete(self)


class ModelFile(Resource, ModelFileOut):
    """A file of a model; ``size`` is in bytes."""


class ModelAlias(Resource, ModelAliasOut):
    """A name such as ``production`` that points to one version of a model."""

    @property
    def reference(self) -> str:
        """The reference ``model@alias``."""
        return f"{self.model_name}@{self.name}"


class ModelAliasMove(Resource, ModelAliasMoveOut):
    """A move of an alias: the old and new versions, the user, the time, and the reason."""


ModelLike = Model | UUID | str
"""A model, its uuid, ``name`` (the newest version), ``name@version`` or ``name@alias``."""


class Models(Group):
    """The operations on models (``client.models``)."""

    def create(
        self,
        name: str,
        source: ModelSource,
        *,
        project: ProjectLike | None = None,
        version: str | None = None,
        license: str | None = None,  # noqa: A002  (the API's name)
        shared: bool = False,
        secrets: Mapping[str, str] | None = None,
    ) -> Model:
        """Register a model whose files come from ``source``.

        For a hub or a package, the import is queued immediately, and the model's ``task`` is the
        uuid of the import task. ``secrets`` maps environment variables of that task to names of
        stored secrets, such as ``{"HF_TOKEN": "hub"}`` for a model that requires a login.
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
        path = f"{Projects(self._client).path(project)}/models"
        return self._make(Model, self._http.post(path, body))

    def import_package(self, package: str, *, name: str | None = None, **options: Any) -> Model:
        """Import a model from the data files of a Python package installed on the worker.

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
        """Import the model ``owner/name`` from the hub that the server uses.

        Options are those of :meth:`create`.
        """
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
        """Upload a model: a directory in Hugging Face's format, or a GGUF file.

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
        # Set the task here instead of reading the model again, because nothing else has changed.
        return model.model_copy(update={"task": self.start_import(model).uuid})

    def start_import(self, model: Model) -> Task:
        """Queue the import of uploaded files, or repeat an import that has failed."""
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
        """Read a model, by uuid, ``name`` (the newest version), ``name@version`` or alias."""
        return self._get(Model, f"models/{self.resolve(model, project)}")

    def wait_ready(
        self,
        model: ModelLike,
        timeout: float | None = 1800.0,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> Model:
        """Wait until the files of a model are imported.

        Raises:
            NotReady: if the import failed.
            WaitTimeout: after ``timeout`` seconds.
        """
        current = model if isinstance(model, Model) else self.get(model)
        if current.status is ModelStatus.PENDING and current.task is not None:
            Tasks(self._client).wait(current.task, timeout, on_event, check=False)
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
                    "{reference} could not be imported{reason}",
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
        """Queue an evaluation of the loss, perplexity and answers of a model and its base model.

        Args:
            model: the model, or a training task, whose model is evaluated as soon as it exists.
            dataset: the held-out data.
            project: the project; by default that of the model.
            name: the name of the task.
            priority: 1 to 10; higher priorities start first.
            after: tasks that must succeed before the evaluation, as in :meth:`Tasks.submit`.
            after_any: tasks that must end before the evaluation, as in :meth:`Tasks.submit`.
            fields: fields of :class:`~aiplatform.protocol.specs.EvaluationSpec`. With
                ``pass_if=["loss<=2.0"]``, the task fails if the condition is not met.
        """
        read = model if isinstance(model, Task) else self.get(model, project=project)
        where = project if project is not None else (read.project or None)
        if not isinstance(dataset, DatasetRef):
            dataset = DatasetPaths(self._client).reference(dataset, project=where)
        meant = FromTask(from_task=read.uuid) if isinstance(read, Task) else read.uuid
        what = read.name if isinstance(read, Task) else read.reference
        return Tasks(self._client).submit(
            EvaluationSpec(model=meant, dataset=dataset, **fields),
            name=name or f"evaluate {what}"[:255],
            project=where,
            priority=priority,
            after=after,
            after_any=after_any,
        )

    def delete(self, model: ModelLike, *, project: ProjectLike | None = None) -> datetime | None:
        """Delete a model.

        Returns:
            The time until which it can be restored from the bin; None if it was deleted
            permanently.
        """
        return purge_time(self._http.request("DELETE", f"models/{self.resolve(model, project)}"))

    def files(
        self, model: ModelLike, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[ModelFile]:
        """List the files of a model."""
        return self._pages(ModelFile, f"models/{self.resolve(model, project)}/files", limit=limit)

    def lineage(self, model: ModelLike, *, project: ProjectLike | None = None) -> dict[str, Any]:
        """Return the dataset versions, base model, task and experiment that a model came from."""
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
        """Download a model's files to the directory ``destination`` and verify each of them.

        Args:
            model: the model.
            destination: the directory; created if missing.
            project: the project in which to look up a name.
            only: returns True for the paths of wanted files, for instance those under ``adapter/``.
            progress: called with the bytes done and the total bytes.
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

    def aliases(
        self,
        model: ModelLike | None = None,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[ModelAlias]:
        """List the aliases of a model's versions or, without ``model``, of a project's models."""
        if model is None:
            path = f"{Projects(self._client).path(project)}/model-aliases"
        else:
            path = f"models/{self.resolve(model, project)}/aliases"
        return self._pages(ModelAlias, path, limit=limit)

    def set_alias(
        self,
        model: ModelLike,
        alias: str,
        *,
        reason: str,
        expected: ModelLike | None = None,
        project: ProjectLike | None = None,
    ) -> ModelAlias:
        """Point an alias to a version of a model; create the alias if it does not exist.

        Args:
            model: the version.
            alias: the name of the alias, such as ``production``.
            reason: why the alias moves; kept in its history.
            expected: the version that the alias should point to before the move. By default, the
                version that it points to when this method is called.
            project: the project in which to look up a name.

        Raises:
            Conflict: if the alias points to a version other than ``expected``, because another user
                has moved it.
        """
        uuid = self.resolve(model, project)
        if expected is None:
            before = self._alias_target(uuid, alias)
        else:
            before = self.resolve(expected, project)
        body = {"expected": before, "reason": reason}
        path = f"models/{uuid}/aliases/{segment(alias)}"
        return self._make(ModelAlias, self._http.request("PUT", path, json=jsonable(body)).json())

    def undo_alias(
        self,
        model: ModelLike,
        alias: str,
        *,
        reason: str | None = None,
        project: ProjectLike | None = None,
    ) -> ModelAlias:
        """Undo the last move of an alias, or restore a deleted alias.

        Args:
            model: any version of the model.
            alias: the name of the alias.
            reason: why the move is undone; kept in the history of the alias.
            project: the project in which to look up a name.

        Raises:
            Conflict: if there is no move to undo, the previous version was deleted, or another user
                has moved the alias at the same time.
        """
        uuid = self.resolve(model, project)
        body = {"expected": self._alias_target(uuid, alias), "reason": reason}
        path = f"models/{uuid}/aliases/{segment(alias)}/undo"
        return self._make(ModelAlias, self._http.post(path, body))

    def delete_alias(
        self,
        model: ModelLike,
        alias: str,
        *,
        reason: str | None = None,
        project: ProjectLike | None = None,
    ) -> None:
        """Delete an alias. The versions are kept, and :meth:`undo_alias` restores the alias."""
        path = f"models/{self.resolve(model, project)}/aliases/{segment(alias)}"
        self._http.request("DELETE", path, params={"reason": reason} if reason else None)

    def alias_moves(
        self,
        model: ModelLike,
        alias: str,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[ModelAliasMove]:
        """List the moves of an alias, newest first. ``model`` is any version of the model."""
        path = f"models/{self.resolve(model, project)}/aliases/{segment(alias)}/moves"
        return self._pages(ModelAliasMove, path, limit=limit)

    def _alias_target(self, uuid: UUID, alias: str) -> UUID | None:
        """Return the uuid of the version that an alias points to, or None if there is no alias."""
        return next((each.model for each in self.aliases(uuid) if each.name == alias), None)

    def resolve(self, model: ModelLike, project: ProjectLike | None = None) -> UUID:
        """Return the uuid of a model version; by default, of the newest version that is ready.

        An alias in place of the version stands for the version that it currently points to. The
        project's own models take precedence over shared models.

        Raises:
            NotFound: if there is no such model.
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
            found = [candidate for candidate in found if candidate.version == meant.version] or [
                candidate for candidate in found if meant.version in candidate.aliases
            ]
        if not found:
            raise NotFound(
                tr("no model that you may use is named {model}", model=model),
                code="client.no_such_name",
                hint=tr("`aiplatform models ls` shows them."),
            )
        return max(found, key=_age).uuid

    def list_all(self, *, limit: int | None = None, **filters: Any) -> Pages[Model]:
        """List the shared models and the models of all projects that you may see."""
        return self._pages(Model, "models", limit=limit, **filters)

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Model]:
        """List the models of a project; filters are ``name`` and ``version``."""
        path = f"{Projects(self._client).path(project)}/models"
        return self._pages(Model, path, limit=limit, **filters)


def _age(model: Model) -> tuple[bool, int]:
    """Return a sort key that puts the newest usable version last."""
    version = model.version or ""
    return model.status is ModelStatus.READY, int(version) if version.isdigit() else 0


def _files_of(source: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the files below ``source`` with their relative paths."""
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
    """Return the parts of a relative path that the server sent.

    Raises:
        CorruptDownload: if the path could lead out of the directory.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or any(p == ".." or "\\" in p or ":" in p for p in parts):
        raise CorruptDownload(
            tr("the server named a file {path!r}, which is not a safe path", path=path)
        )
    return parts


def _offset(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """Return a callback that reports the progress of one file as part of the total."""
    return lambda done, _: progress(before + done, total)
