"""Workers: the resources that machines offer, and the tasks that they run; for administrators."""

from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid
from aiplatform.client.errors import NotFound
from aiplatform.client.tasks import Telemetry
from aiplatform.language import tr
from aiplatform.protocol.shapes.tasks import WorkerOut


class Worker(Resource, WorkerOut):
    """A worker, as it was when read; memory is in MiB."""

    # In the SDK, the parts of these fields are plain JSON values.
    devices: list[dict[str, Any]] = []  # type: ignore[assignment]
    running: list[dict[str, Any]] = []  # type: ignore[assignment]

    @property
    def devices_free(self) -> int:
        """The number of the worker's GPU slots that no task uses."""
        return sum(1 for device in self.devices if device.get("task") is None)


WorkerLike = Worker | UUID | str
"""A worker, its uuid, or its name."""


class Workers(Group):
    """The operations on workers (``client.workers``)."""

    def list(self, *, limit: int | None = None) -> Pages[Worker]:
        """List all workers that have ever registered, newest first."""
        return self._pages(Worker, "workers", limit=limit)

    def get(self, worker: WorkerLike) -> Worker:
        """Read a worker."""
        return self._get(Worker, self.path(worker))

    def cordon(self, worker: WorkerLike) -> Worker:
        """Make a worker accept no new tasks; its running tasks continue."""
        return self._make(Worker, self._http.post(f"{self.path(worker)}/cordon"))

    def drain(self, worker: WorkerLike) -> Worker:
        """Empty a worker: preemptible tasks move to other workers, the others run to completion.

        Preemptible tasks save a checkpoint first.
        """
        return self._make(Worker, self._http.post(f"{self.path(worker)}/drain"))

    def resume(self, worker: WorkerLike) -> Worker:
        """Make a worker accept tasks again."""
        return self._make(Worker, self._http.post(f"{self.path(worker)}/resume"))

    def telemetry(
        self,
        worker: WorkerLike,
        *keys: str,
        points: int | None = None,
        since: datetime | None = None,
    ) -> Telemetry:
        """Return the resource usage of a worker's machine over time.

        Each curve has at most ``points`` points.
        """
        return self._make(
            Telemetry,
            self._http.get(
                f"{self.path(worker)}/telemetry",
                key=list(keys) or None,
                points=points,
                since=None if since is None else since.isoformat(),
            ),
        )

    def path(self, worker: WorkerLike) -> str:
        """Return the path of the worker in the API.

        Raises:
            NotFound: if no worker has this name.
        """
        uuid = worker.uuid if isinstance(worker, Worker) else as_uuid(worker)
        if uuid is None:
            uuid = next((found.uuid for found in self.list() if found.name == worker), None)
        if uuid is None:
            raise NotFound(
                tr("no worker is named {worker}", worker=worker),
                code="client.no_such_name",
                hint=tr("`aiplatform workers ls` shows them."),
            )
        return f"workers/{uuid}"
