"""Parameters for plain and resumable uploads."""

from uuid import UUID

from pydantic import Field, model_validator

from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import Reading, UploadMode
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.server.datasets.schemas.datasets import NAME_PATTERN
from aiplatform.server.datasets.service.uploads import Target, UploadParameters


class TusMetadata(Reading):
    """The metadata of a resumable upload, whose keys are the parameters of a plain one."""

    name: str | None = Field(None, min_length=1, max_length=255, pattern=NAME_PATTERN)
    dataset: UUID | None = None
    filename: str | None = Field(None, max_length=1000)
    filetype: str | None = Field(None, max_length=255, description="Uppy sends it; not looked at")
    type: str | None = Field(None, max_length=255, description="the same")
    relativePath: str | None = Field(None, max_length=1000, description="the same")  # noqa: N815
    format: DataFormat | None = None
    message: str | None = Field(None, max_length=10_000)
    base_model: UUID | None = None
    max_length: int | None = Field(None, ge=8, le=1_048_576)
    mode: UploadMode = "replace"
    key: str | None = Field(None, min_length=1, max_length=255)
    parent: str | None = Field(None, pattern=VERSION_OR_TAG)
    allow_identical: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> "TusMetadata":
        if (self.name is None) == (self.dataset is None):
            raise ValueError("give name, for a new dataset, or dataset, for a version of one")
        return self

    def target(self) -> Target:
        """Return where the upload goes.

        Raises:
            KeyColumnRequired: for a mode that matches rows, without a key.
        """
        return Target(
            name=self.name,
            dataset=self.dataset,
            mode=self.mode,
            key=self.key,
            parent=self.parent,
            allow_identical=self.allow_identical,
        )

    def upload_parameters(self) -> UploadParameters:
        """Return the parameters in the form that a plain upload has.

        There is no digest, because each piece is checked by its own checksum.
        """
        return UploadParameters(
            filename=self.filename,
            format=self.format,
            message=self.message,
            base_model=self.base_model,
            max_length=self.max_length,
            reading=Reading(**self.model_dump(include=set(Reading.model_fields))),
        )
