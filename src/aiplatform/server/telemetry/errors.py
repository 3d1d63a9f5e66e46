"""Errors of metrics and reports. The API answers them as problems."""

from aiplatform.server.core.errors import Conflict, Invalid


class MalformedPoints(Invalid):
    """A request whose points can't be read."""

    code = "metric.malformed_points"


class RecordsMissing(Conflict):
    """A request that skips numbers of its writer's records.

    Records (points or log lines) are stored in order, so that none is lost.
    """

    code = "run.records_missing"


class NotReportedHere(Conflict):
    """A report about a task that a worker runs. Only the worker may report, under its lease."""

    code = "run.not_reported_here"


class NothingToCompare(Invalid):
    """A comparison that names neither tasks nor an experiment."""

    code = "metric.nothing_to_compare"
