"""Quality reports, fixes and the quality gate: methods of ``client.datasets``."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from aiplatform.client.base import Connection, Pages, Resource
from aiplatform.client.dataset_files import DatasetVersion
from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.models import ModelLike, Models
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import Task
from aiplatform.client.transport import segment
from aiplatform.protocol.shapes.datasets import FixPreviewOut, ReportOut


class QualityReportInfo(Resource, ReportOut):
    """Details of a version's quality report, without the report itself."""


class FixPreview(Resource, FixPreviewOut):
    """Some rows of a finding before and after a fix, and the total number of its rows."""


class DatasetQuality(DatasetPaths):
    """The methods of ``client.datasets`` for quality reports and the quality gate."""

    def report(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        made: UUID | None = None,
    ) -> dict[str, Any]:
        """Return a version's quality report, by default the current version's.

        ``made`` is the uuid of a report listed by :meth:`reports`; by default the newest report is
        returned.
        """
        path = f"{self._version_path(dataset, version, project)}/report"
        return dict(self._http.get(path, made=_text(made)) or {})

    def check(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        base_model: ModelLike | None = None,
        max_length: int | None = None,
        against: Iterable[DatasetLike] | None = None,
        benchmarks: Iterable[DatasetLike] | None = None,
    ) -> Task:
        """Queue a task that makes a new quality report for a version.

        Args:
            dataset: the dataset.
            version: a version or tag; by default the current version.
            project: the project in which to look up a name.
            base_model: the model whose tokenizer counts tokens.
            max_length: the number of tokens above which the report counts a row as too long.
            against: evaluation data (``"held-out@v2"``), whose rows must not occur in training
                data.
            benchmarks: benchmark data; not even a passage of it may occur in training data.
                Without ``against`` and ``benchmarks``, the version is compared with the same data
                as in the dataset's last report.
        """
        path = f"{self._version_path(dataset, version, project)}/quality"
        body = token_options(self._client, base_model, max_length, project)
        if against is not None or benchmarks is not None:
            body["against"] = [
                {
                    **self.reference(other, project=project).model_dump(mode="json"),
                    "role": role,
                }
                for role, others in (("evaluation", against), ("benchmark", benchmarks))
                for other in others or ()
            ]
        return self._make(Task, self._http.post(path, body))

    def fix(
        self,
        dataset: DatasetLike,
        fixes: Mapping[str, str],
        *,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
        timeout: float | None = 3600.0,
    ) -> DatasetVersion:
        """Commit a new version in which findings of the quality report are fixed; wait for it.

        Args:
            dataset: the dataset.
            fixes: the fix for each finding, such as ``{"duplicates": "deduplicate",
                "personal_email": "mask"}``; the report lists the possible fixes of each finding.
            message: a description of the version.
            parent: the version or tag to fix. By default, the version that ``dataset`` names, or
                else the current one.
            project: the project in which to look up a name.
            timeout: seconds to wait for the task.

        Raises:
            TaskFailed: if the fix failed, or another version was committed in the meantime.
            WaitTimeout: after ``timeout`` seconds; the task continues.
        """
        started = self.start_fix(dataset, fixes, message=message, parent=parent, project=project)
        made = started.wait(timeout).result or {}
        return self._get(DatasetVersion, f"datasets/{made['dataset']}/versions/{made['version']}")

    def start_fix(
        self,
        dataset: DatasetLike,
        fixes: Mapping[str, str],
        *,
        message: str | None = None,
        parent: str | None = None,
        project: ProjectLike | None = None,
    ) -> Task:
        """Queue the task of :meth:`fix` without waiting; its ``result`` will name the version."""
        body = {"fixes": dict(fixes), "message": message, "parent": self._parent(dataset, parent)}
        return self._make(Task, self._http.post(f"{self.path(dataset, project)}/fix", body))

    def preview_fix(
        self,
        dataset: DatasetLike,
        finding: str,
        action: str,
        *,
        version: str | None = None,
        limit: int = 10,
        project: ProjectLike | None = None,
    ) -> FixPreview:
        """Return the first rows of a finding, each before and after a fix. Nothing is changed.

        Args:
            dataset: the dataset.
            finding: the code of a finding of the quality report, such as ``personal_email``.
            action: one of the fixes that the report lists for it, such as ``mask``.
            version: a version or tag; by default the current version.
            limit: the largest number of rows to return, up to 50.
            project: the project in which to look up a name.
        """
        path = f"{self._version_path(dataset, version, project)}/findings/{segment(finding)}"
        return self._make(FixPreview, self._http.get(f"{path}/preview", action=action, limit=limit))

    def reports(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[QualityReportInfo]:
        """List all reports made of a version, newest first; see :meth:`report`."""
        return self._pages(
            QualityReportInfo,
            f"{self._version_path(dataset, version, project)}/reports",
            limit=limit,
        )

    def report_changes(
        self,
        dataset: DatasetLike,
        since: str | None = None,
        *,
        version: str | None = None,
        made: UUID | None = None,
        since_made: UUID | None = None,
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """Compare a quality report with an earlier one.

        Args:
            dataset: the dataset.
            since: a version or tag to compare with; by default the same version, and ``since_made``
                then selects an earlier report of it.
            version: the version of the newer report; by default the current one.
            made: the uuid of the newer report, one of :meth:`reports`; by default the newest.
            since_made: the uuid of the earlier report; by default the newest of ``since``.
            project: the project in which to look up a name.

        Returns:
            ``score`` and ``rows``, each with ``before`` and ``after``; and ``findings``, each with
                its ``change``: ``new``, ``worse``, ``same``, ``better``, ``gone``, or
                ``not_checked`` if only one of the two reports counted tokens.
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
        dataset: DatasetLike,
        version: str | None = None,
        *,
        since: str | None = None,
        made: UUID | None = None,
        since_made: UUID | None = None,
        language: str | None = None,
        project: ProjectLike | None = None,
    ) -> str:
        """Return the quality report as one self-contained HTML file.

        Args:
            dataset: the dataset.
            version: a version or tag; by default the current version.
            since: a version or tag to compare with.
            made: the uuid of the report, one of :meth:`reports`; by default the newest.
            since_made: the uuid of the report to compare with; by default the newest of ``since``.
                Without ``since``, it is an earlier report of the same version.
            language: ``en`` or ``zh``; by default the client's.
            project: the project in which to look up a name.
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
        """Return the project's quality gate: ``min_score``, ``forbid_errors`` and ``limits``."""
        return dict(self._http.get(f"{Projects(self._client).path(project)}/dataset-gate"))

    def set_gate(
        self, gate: Mapping[str, Any], *, project: ProjectLike | None = None
    ) -> dict[str, Any]:
        """Replace the project's quality gate; ``{}`` removes all rules."""
        path = f"{Projects(self._client).path(project)}/dataset-gate"
        return dict(self._http.request("PUT", path, json=dict(gate)).json())

    def verdict(
        self,
        dataset: DatasetLike,
        version: str | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """Check a version, by default the current one, against the quality gate.

        The result contains ``passed`` and ``failures``.
        """
        return dict(self._http.get(f"{self._version_path(dataset, version, project)}/gate"))


def _text(uuid: UUID | None) -> str | None:
    return None if uuid is None else str(uuid)


def token_options(
    client: Connection,
    base_model: ModelLike | None,
    max_length: int | None,
    project: ProjectLike | None,
) -> dict[str, Any]:
    """Return the request parameters for counting tokens in a quality report."""
    counting: dict[str, Any] = {}
    if base_model is not None:
        counting["base_model"] = str(Models(client).resolve(base_model, project))
    if max_length is not None:
        counting["max_length"] = max_length
    return counting
