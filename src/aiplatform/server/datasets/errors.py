"""Errors about datasets, as clients receive them."""

from collections.abc import Sequence

from aiplatform.server.core.errors import Conflict, Invalid, NotFound, Problem

MAX_LISTED = 12
"""Maximum number of versions and tags listed in an error."""


class MalformedFile(Invalid):
    """An uploaded file whose content does not match its format; the messages say where."""

    code = "dataset.malformed"


class NoSuchVersion(NotFound):
    """A version or tag that an existing dataset does not have."""

    code = "dataset.no_such_version"

    def __init__(self, *, dataset: str, version: str, known: Sequence[str]) -> None:
        """Create the error.

        Args:
            dataset: the name of the dataset.
            version: the label or tag that was not found.
            known: the dataset's versions and tags, newest first.
        """
        shown = ", ".join(known[:MAX_LISTED]) + (", …" if len(known) > MAX_LISTED else "")
        super().__init__(
            resource="dataset version",
            dataset=dataset,
            version=version[:100],
            known=f"There are: {shown}." if known else "There is none yet.",
            known_zh=f"现有：{shown}。" if known else "目前还没有版本。",
        )


class TooManyRows(Invalid):
    """A file with more rows than ``dataset_versions.row_count``, an INTEGER, can count."""

    code = "dataset.too_many_rows"


class IdenticalContent(Conflict):
    """A commit of the same rows as the parent: often the wrong file, or a repeated upload."""

    code = "dataset.identical_content"

    def __init__(self, *, version: str, can_allow: bool) -> None:
        """Create the error.

        Args:
            version: the label of the parent.
            can_allow: True if the request can ask for the rows to be committed anyway.
        """
        advice, advice_zh = (
            (
                "To commit them all the same, repeat with allow_identical=true.",
                "如仍要提交，请加上 allow_identical=true。",
            )
            if can_allow
            else (
                "The change leaves every row as it was; there is nothing to commit.",
                "该修改未改变任何数据，无需提交。",
            )
        )
        super().__init__(version=version, advice=advice, advice_zh=advice_zh)


class InvalidPartName(Invalid):
    """A part of a split whose dataset would have a name that can't be used in ``name@version``."""

    code = "dataset.invalid_part_name"


class DatasetInUse(Conflict):
    """An attempt to delete a dataset that unfinished tasks read."""

    code = "dataset.in_use"


class GateFailed(Conflict):
    """A training task on a version that breaks a rule of the project's quality gate."""

    code = "dataset.gate_failed"


class UnknownFinding(Invalid):
    """A quality gate limit for a finding that no check reports, so it would never apply."""

    code = "dataset.unknown_finding"


class NoSuchFinding(NotFound):
    """A finding code known neither to the platform's checks nor to the report; usually a typo."""

    code = "dataset.no_such_finding"


class ReportBeingMade(Conflict):
    """A request for a quality report whose task has not ended yet."""

    code = "dataset.report_being_made"
    headers = {"Retry-After": "2"}


class FindingWithoutRows(Invalid):
    """A finding whose rows were counted but can't be listed."""

    code = "dataset.finding_without_rows"


class StaleParentVersion(Conflict):
    """A commit that lost a race: the dataset got another version in the meantime.

    To build deliberately on the older version, name it in ``parent``.
    """

    code = "dataset.stale_parent"


class VersionNotDeletable(Conflict):
    """An attempt to delete a version that has a child, tag or reading task, or is the first one."""

    code = "dataset.version_not_deletable"


class TagIsVersion(Invalid):
    """A tag named like a version, such as ``v3``, which would be ambiguous."""

    code = "dataset.tag_is_version"


class InvalidCondition(Invalid):
    """A condition in a query string that is not valid JSON, or is JSON but not a condition."""

    code = "dataset.invalid_condition"


class ImportRefused(Invalid):
    """An import from an address that the platform does not connect to."""

    code = "dataset.import_refused"


class InvalidReadingOption(Invalid):
    """Contradictory or invalid options for reading a file."""

    code = "dataset.invalid_reading_option"


class KeyColumnRequired(Invalid):
    """An upload whose mode matches rows by a key column, without the name of that column."""

    code = "dataset.key_column_required"


class IngestFailed(Problem):
    """An ingest process that failed because of the program or the machine, not the file."""

    status = 500
    code = "dataset.ingest_failed"


class ExportFailed(Problem):
    """An export process that failed while the response was being sent.

    The status code has already been sent, so the connection is closed early, which the client
    notices.
    """

    code = "dataset.export_failed"


class InvalidTusHeader(Problem):
    """A tus header that is missing or malformed."""

    status = 400
    code = "upload.invalid_header"


class InvalidTusMetadata(Invalid):
    """Metadata of a resumable upload with invalid values."""

    code = "upload.invalid_metadata"


class TusVersion(Problem):
    """A request for a version of the tus protocol other than 1.0.0, the only one so far."""

    status = 412
    code = "upload.protocol_version"
    headers = {"Tus-Version": "1.0.0"}


class OffsetConflict(Conflict):
    """A piece at the wrong offset: another client has sent a piece, or a response was lost."""

    code = "upload.wrong_offset"


class UploadLocked(Problem):
    """A piece that was refused because another request is writing to the same upload."""

    status = 423
    code = "upload.locked"


class UploadExpired(Problem):
    """An upload whose bytes were deleted, because no piece arrived for a day."""

    status = 410
    code = "upload.expired"


class UploadRefused(Conflict):
    """A piece for an upload whose file has already been refused."""

    code = "upload.refused"


class UploadIncomplete(Conflict):
    """An upload that can't be parsed yet because bytes are missing."""

    code = "upload.incomplete"


class ChecksumMismatch(Problem):
    """A piece that was damaged in transit; tus defines status 460 for this."""

    status = 460
    code = "upload.checksum_mismatch"
