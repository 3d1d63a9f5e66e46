"""Errors about datasets, as clients receive them."""

from collections.abc import Sequence

from aiplatform.server.core.errors import Conflict, Invalid, NotFound, Problem

MAX_LISTED = 12
"""Maximum number of versions and tags listed in an error."""


class MalformedFile(Invalid):
    """The content of the uploaded file does not match its format; the messages say where."""

    code = "dataset.malformed"


class NoSuchVersion(NotFound):
    """The dataset has no such version or tag."""

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
    """The file has more rows than ``dataset_versions.row_count``, an INTEGER, can count."""

    code = "dataset.too_many_rows"


class IdenticalContent(Conflict):
    """The commit has the same rows as its parent, often due to a wrong file or repeated upload."""

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
    """A part of a split would get a dataset name that can't be used in ``name@version``."""

    code = "dataset.invalid_part_name"


class DatasetInUse(Conflict):
    """The dataset can't be deleted, because unfinished tasks read it."""

    code = "dataset.in_use"


class GateFailed(Conflict):
    """The version breaks a rule of the project's quality gate, so no training task may read it."""

    code = "dataset.gate_failed"


class UnknownFinding(Invalid):
    """The quality gate limits a finding that no check reports, so the limit never applies."""

    code = "dataset.unknown_finding"


class NoSuchFinding(NotFound):
    """No platform check and no finding in the report has this code, which is usually a typo."""

    code = "dataset.no_such_finding"


class ReportBeingMade(Conflict):
    """The task of the requested quality report has not ended yet."""

    code = "dataset.report_being_made"
    headers = {"Retry-After": "2"}


class FindingWithoutRows(Invalid):
    """The rows of the finding were counted but can't be listed."""

    code = "dataset.finding_without_rows"


class StaleParentVersion(Conflict):
    """The commit lost a race: another version was committed in the meantime.

    To build deliberately on the older version, name it in ``parent``.
    """

    code = "dataset.stale_parent"


class VersionNotDeletable(Conflict):
    """The version can't be deleted: it has a child or tag, a task reads it, or it is the first."""

    code = "dataset.version_not_deletable"


class TagIsVersion(Invalid):
    """The tag is named like a version, such as ``v3``, which would be ambiguous."""

    code = "dataset.tag_is_version"


class InvalidCondition(Invalid):
    """A condition in the query string is not valid JSON, or is JSON but not a condition."""

    code = "dataset.invalid_condition"


class ImportRefused(Invalid):
    """The platform does not connect to the import's address."""

    code = "dataset.import_refused"


class InvalidReadingOption(Invalid):
    """The options for reading a file are contradictory or invalid."""

    code = "dataset.invalid_reading_option"


class KeyColumnRequired(Invalid):
    """The upload's mode matches rows by a key column, but no column is named."""

    code = "dataset.key_column_required"


class IngestFailed(Problem):
    """The ingest process failed because of the program or the machine, not the file."""

    status = 500
    code = "dataset.ingest_failed"


class ExportFailed(Problem):
    """The export process failed while the response was being sent.

    The status code has already been sent, so closing the connection early is the only way to tell
    the client.
    """

    code = "dataset.export_failed"


class InvalidTusHeader(Problem):
    """A tus header is missing or malformed."""

    status = 400
    code = "upload.invalid_header"


class InvalidTusMetadata(Invalid):
    """The metadata of the resumable upload has invalid values."""

    code = "upload.invalid_metadata"


class TusVersion(Problem):
    """The request uses a tus protocol version other than 1.0.0, the only one supported."""

    status = 412
    code = "upload.protocol_version"
    headers = {"Tus-Version": "1.0.0"}


class OffsetConflict(Conflict):
    """The piece has the wrong offset: another client has sent a piece, or a response was lost."""

    code = "upload.wrong_offset"


class UploadLocked(Problem):
    """Another request is writing to the same upload, so this piece was refused."""

    status = 423
    code = "upload.locked"


class UploadExpired(Problem):
    """The bytes of the upload were deleted, because no piece arrived for a day."""

    status = 410
    code = "upload.expired"


class UploadRefused(Conflict):
    """The file of the upload has already been refused, so no more pieces are accepted."""

    code = "upload.refused"


class UploadIncomplete(Conflict):
    """The upload can't be parsed yet, because bytes are missing."""

    code = "upload.incomplete"


class ChecksumMismatch(Problem):
    """The piece was damaged in transit; tus defines status 460 for this."""

    status = 460
    code = "upload.checksum_mismatch"
