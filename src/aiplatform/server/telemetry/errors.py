"""Errors about metrics and reports, which the API returns as problem documents."""

from aiplatform.server.core.errors import Conflict, Invalid


class MalformedPoints(Invalid):
    """The points in the request can't be parsed."""

    code = "metric.malformed_points"


class RecordsMissing(Conflict):
    """The request skips numbers in its writer's sequence of records.

    Records (points or log lines) are stored in sequence, so that none is lost.
    """

    code = "run.records_missing"


class NotReportedHere(Conflict):
    """The task is run by a worker. Only that worker may report, under its lease."""

    code = "run.not_reported_here"


class NothingToCompare(Invalid):
    """The comparison names neither tasks nor an experiment."""

    code = "metric.nothing_to_compare"
