"""The audit trail: ``client.audit``."""

from pathlib import Path
from typing import Any

from aiplatform.client.base import Group, Pages, Resource
from aiplatform.client.downloads import download
from aiplatform.client.errors import Conflict, UnexpectedAnswer
from aiplatform.client.polling import poll
from aiplatform.language import tr
from aiplatform.protocol.shapes.audit import AuditOut, AuditVerificationOut


class AuditEntry(Resource, AuditOut):
    """An entry in the audit trail: who did what to which resource, and the outcome.

    ``user`` is None for an action of the platform itself.
    """


class AuditVerification(Resource, AuditVerificationOut):
    """The server's verification of the whole audit trail, with its findings."""

    @property
    def is_intact(self) -> bool:
        """True if every sealed entry matched its seal."""
        return bool(self.state == "intact")


class Audit(Group):
    """The operations on the audit trail (``client.audit``)."""

    def list(self, *, limit: int | None = None, **filters: Any) -> Pages[AuditEntry]:
        """List the entries of the audit trail, newest first.

        The filters are described in the API's documentation.
        """
        return self._pages(AuditEntry, "audit", limit=limit, **filters)

    def export(self, destination: Path | str, *, csv: bool = False, **filters: Any) -> Path:
        """Write matching audit entries to a file, newest first; filters are as in :meth:`list`.

        A JSON Lines file (the default) contains proofs with which ``aiplatform audit verify``
        checks the entries against the seals. A CSV file, for spreadsheets, has no proofs.
        """
        params = {"format": "csv" if csv else "jsonl", **filters}
        return download(self._http, "audit/export", Path(destination), params=params)

    def verification(self) -> AuditVerification | None:
        """Return the most recent verification; None if there is none."""
        found = self._http.get("audit/verification")
        return None if found is None else self._make(AuditVerification, found)

    def verify(self, *, timeout: float | None = 600) -> AuditVerification:
        """Compare all entries with their seals on the server, and return the result.

        If a verification is already running, wait for its result instead.

        Raises:
            WaitTimeout: after ``timeout`` seconds; the verification continues.
        """
        try:
            started = self._make(AuditVerification, self._http.post("audit/verification"))
        except Conflict:
            started = None
        found = poll(
            self.verification,
            lambda found: found is None or found.state != "running",
            timeout=timeout,
            what="the verification had not ended",
        )
        if found is None or (started is not None and found.uuid != started.uuid):
            raise UnexpectedAnswer(tr("the server has lost the verification"))
        return found
