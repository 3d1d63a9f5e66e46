"""Scripts: users' own commands, run as tasks on code bundles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group
from aiplatform.client.bundles import Bundle, PackedBundle, Progress, pack_commit, pack_directory
from aiplatform.client.dataset_paths import DatasetPaths
from aiplatform.client.models import Model, Models
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import Task, Tasks
from aiplatform.client.transfers import body_of
from aiplatform.client.transport import decoded
from aiplatform.protocol.names import nearest_name
from aiplatform.protocol.specs import ScriptSpec


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
        """Queue a command on code that is uploaded first, or on an existing ``bundle``.

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
