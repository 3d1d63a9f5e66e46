"""Scripts: users' own commands, run as tasks on code bundles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group
from aiplatform.client.bundles import Bundle, Packed, Progress, pack_commit, pack_directory
from aiplatform.client.models import Model
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.tasks import Task
from aiplatform.client.transfers import body_of
from aiplatform.client.transport import decoded
from aiplatform.protocol.names import nearest_name
from aiplatform.protocol.specs import ScriptSpec


class Scripts(Group):
    """``client.scripts``: run your own code where the platform runs its own::

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
        """Upload code: the files of a directory, or with ``commit`` what git has of it.

        What ``.gitignore`` names is left out, and so are virtual environments. ``on_progress`` is
        called while a directory is packed, see :func:`pack_directory`.

        Raises:
            ClientError: when it can't be packed.
            ApiError: ``script.not_allowed`` where no administrator has allowed scripts.
        """
        path = Path(directory)
        if commit is None:
            packed = pack_directory(path, on_progress=on_progress)
        else:
            packed = pack_commit(path, commit)
        called = name or nearest_name(path.resolve().name, longest=60) or "code"
        return self._upload(packed, called, project)

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
        """Queue a command on code that is uploaded first, unless ``bundle`` names some.

        Args:
            command: program and arguments; no shell reads them.
            environment: as workers offer it.
            datasets: ``NAME`` or ``NAME@VERSION`` by the name under which the script finds them,
                as ``$AIPLATFORM_INPUTS/datasets/….parquet``.
            models: the same for models, which it finds in ``$AIPLATFORM_INPUTS/models/…/``.
            variables: environment variables; for secrets there is ``secrets``.
            on_progress: called while the directory is packed, see :func:`pack_directory`.
            options: further fields of the spec, such as ``resources``, ``max_disk_mb``,
                ``labels``, ``secrets``, ``time_limit_seconds``; with ``processes`` and ``nodes``
                the command runs as several processes, each with torchrun's variables.
        """
        if bundle is None:
            bundle = self.bundle(directory, commit=commit, project=project, on_progress=on_progress)
        refs = {
            key: self._client.datasets.reference(value, project=project)
            for key, value in (datasets or {}).items()
        }
        found = {
            key: value
            if isinstance(value, Model)
            else self._client.models.get(value, project=project)
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
        return self._client.tasks.submit(
            spec, name=name or " ".join(command)[:100], priority=priority, project=project
        )

    def bundles(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[Bundle]:
        """Code that was uploaded to the project, newest first."""
        return self._pages(Bundle, f"{self._client.projects.path(project)}/bundles", limit=limit)

    def get_bundle(self, uuid: UUID | str) -> Bundle:
        """One of them."""
        return self._make(Bundle, decoded(self._http.request("GET", f"bundles/{uuid}")))

    def _upload(self, packed: Packed, name: str, project: ProjectLike | None) -> Bundle:
        answer = self._http.upload(
            "POST",
            f"{self._client.projects.path(project)}/bundles",
            body_of(packed.content),
            params={"name": name, **packed.source},
        )
        return self._make(Bundle, answer)
