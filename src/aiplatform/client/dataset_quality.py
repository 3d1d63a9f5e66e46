"""Quality reports and what follows: ``client.datasets.report``, ``fix``, ``gate``, ``verdict``."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.models import ModelLike
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.tasks import Task

if TYPE_CHECKING:
    from aiplatform.client.datasets import DatasetLike, Datasets, DatasetVersion


class ReportMade(Resource):
    """One of the reports that were made of a version."""

    uuid: UUID
    score: float | None = None
    findings: int = 0
    compared_with: list[str] = []
    task: UUID | None = None
    created_at: datetime | None = None


class DatasetQuality(Group):
    """What of ``client.datasets`` acts on quality reports."""

    if TYPE_CHECKING:

        def path(self, dataset: DatasetLike, project: ProjectLike | None = None) -> str: ...

        def _parent(self, dataset: DatasetLike, parent: str | None) -> str | None: ...

        def _version_path(
            self, dataset: DatasetLike, version: str | None, project: ProjectLike | None
        ) -> str: ...

        def _counting(
            self,
            base_model: ModelLike | None,
            max_length: int | None,
            project: ProjectLike | None,
        ) -> dict[str, Any]: ...

    def report(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        made: UUID | None = None,
    ) -> dict[str, Any]:
        """The quality report of a version, the current one by default.

        ``made`` names one of :meth:`reports`; by default it is the newest.
        """
        path = f"{self._version_path(dataset, version, project)}/report"
        return dict(self._http.get(path, made=_text(made)) or {})

    def check(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
        against: Iterable["DatasetLike"] | None = None,
        benchmarks: Iterable["DatasetLike"] | None = None,
    ) -> Task:
        """Make the quality report of a version again.

        Args:
            base_model, max_length: how to count tokens.
            against: evaluation data (``"held-out@v2"``), of which no row may be trained on.
            benchmarks: data of which not even a passage may be. With neither, the data that the
                dataset's last report was compared with.
        """
        path = f"{self._version_path(dataset, version, project)}/quality"
        body = self._counting(base_model, max_length, project)
        if against is not None or benchmarks is not None:
            body["against"] = [
                {
                    **cast("Datasets", self)
                    .reference(other, project=project)
                    .model_dump(mode="json"),
                    "role": role,
                }
                for role, others in (("evaluation", against), ("benchmark", benchmarks))
                for other in others or ()
            ]
        return self._make(Task, self._http.post(path, body))

    def fix(
        self,
        dataset: "DatasetLike",
        fixes: Mapping[str, str],
        *,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
        timeout: float | None = 3600.0,
    ) -> "DatasetVersion":
        """Commit a version in which findings of the quality report are cured; a task does it.

        Args:
            fixes: what to do about each finding, such as ``{"duplicates": "deduplicate",
                "personal_email": "mask"}``; the report names the fixes of each.
            parent: the version or tag to cure; else the one that ``dataset`` names, or the current.
            timeout: seconds to wait for it.

        Raises:
            TaskFailed: when it could not be done, or somebody committed meanwhile.
            WaitTimeout: after ``timeout`` seconds; the task goes on.
        """
        started = self.start_fix(dataset, fixes, message=message, parent=parent, project=project)
        made = started.wait(timeout).result or {}
        return cast("Datasets", self).version(f"{made['dataset']}@{made['version']}")

    def start_fix(
        self,
        dataset: "DatasetLike",
        fixes: Mapping[str, str],
        *,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> Task:
        """Queue what :meth:`fix` waits for; the task's ``result`` will name the ``version``."""
        body = {"fixes": dict(fixes), "message": message, "parent": self._parent(dataset, parent)}
        return self._make(Task, self._http.post(f"{self.path(dataset, project)}/fix", body))

    def reports(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[ReportMade]:
        """All reports that were ever made of a version, newest first; see :meth:`report`."""
        return self._pages(
            ReportMade, f"{self._version_path(dataset, version, project)}/reports", limit=limit
        )

    def report_changes(
        self,
        dataset: "DatasetLike",
        since: str | None = None,
        *,
        version: str | None = None,
        made: UUID | None = None,
        since_made: UUID | None = None,
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """What got better and what worse since another report.

        Args:
            since: a version or tag; by default the same version, of which ``since_made`` then names
                an earlier report.
            made, since_made: which of all :meth:`reports` of the two; by default the newest.

        Returns:
            ``score`` and ``rows`` with ``before`` and ``after``, and ``findings``, each with its
            ``change``: ``new``, ``worse``, ``same``, ``better``, ``gone``, or ``not_checked`` when
            only one of the two counted tokens.
        """
        path = self._version_path(dataset, version, project)
        wanted = {
            "since": since or path.rpartition("/")[2],
            "made": _text(made),
            "since_made": _text(since_made),
        }
        return dict(self._http.get(f"{path}/report/changes", **wanted))

    def report_page(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        since: str | None = None,
        made: UUID | None = None,
        since_made: UUID | None = None,
        language: str | None = None,
        project: ProjectLike | None = None,
    ) -> str:
        """The report as one HTML file that needs nothing else.

        Args:
            since: a version or tag to compare with.
            made, since_made: which of all :meth:`reports` of the two; by default the newest. With
                ``since_made`` alone, an earlier report of the same version is compared with.
            language: ``en`` or ``zh``; by default the client's.
        """
        path = self._version_path(dataset, version, project)
        if since is None and since_made is not None:
            since = path.rpartition("/")[2]
        wanted = {
            "since": since,
            "lang": language,
            "made": _text(made),
            "since_made": _text(since_made),
        }
        return self._http.request("GET", f"{path}/report/page", params=wanted).text

    def gate(self, *, project: ProjectLike | None = None) -> dict[str, Any]:
        """The project's quality gate: ``min_score``, ``forbid_errors``, ``limits``."""
        return dict(self._http.get(f"{self._client.projects.path(project)}/dataset-gate"))

    def set_gate(
        self, gate: Mapping[str, Any], *, project: ProjectLike | None = None
    ) -> dict[str, Any]:
        """Replace the project's quality gate; ``{}`` takes all rules away."""
        path = f"{self._client.projects.path(project)}/dataset-gate"
        return dict(self._http.request("PUT", path, json=dict(gate)).json())

    def verdict(
        self,
        dataset: "DatasetLike",
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """Whether a version, by default the current one, ``passed`` the gate; its ``failures``."""
        return dict(self._http.get(f"{self._version_path(dataset, version, project)}/gate"))


def _text(uuid: UUID | None) -> str | None:
    return None if uuid is None else str(uuid)
