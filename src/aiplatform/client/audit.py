"""The audit trail: ``client.audit``."""

from pathlib import Path
from typing import Any

from aiplatform.client.base import Group, Pages, Resource
from aiplatform.client.downloads import download
from aiplatform.protocol.shapes.audit import AuditOut


class AuditEntry(Resource, AuditOut):
    """An entry in the audit trail: who did what to which resource, and the outcome.

    ``user`` is None for an action of the platform itself.
    """


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
        checks the entries against the seals. A CSV file is meant for people.
        """
        params = {"format": "csv" if csv else "jsonl", **filters}
        return download(self._http, "audit/export", Path(destination), params=params)
