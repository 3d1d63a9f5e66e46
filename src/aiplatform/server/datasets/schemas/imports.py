"""Request bodies for imports, whose rows the platform fetches from another server."""

from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from aiplatform.protocol.dataset_sources import DataSource
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import Reading, UploadMode
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.specs import DatasetImportSpec, SecretsByVariable
from aiplatform.server.datasets.schemas.datasets import NAME_PATTERN


class ImportRequest(Reading):
    """A source to import from, and the dataset that gets its rows.

    The other options are the same as for an upload.
    """

    source: DataSource
    name: str | None = Field(None, min_length=1, max_length=255, pattern=NAME_PATTERN)
    dataset: UUID | None = Field(None, description="which gets a version, in place of `name`")
    format: DataFormat | None = None
    message: str | None = Field(None, max_length=10_000)
    base_model: UUID | None = None
    max_length: int | None = Field(None, ge=8, le=1_048_576)
    allow_identical: bool = False
    mode: UploadMode = Field(
        "replace", description="what the rows do to those of `dataset`, as of an upload"
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="the column that `upsert` and `delete` match",
    )
    parent: str | None = Field(
        None, pattern=VERSION_OR_TAG, description="the version it is made from, else the current"
    )
    secrets: SecretsByVariable = Field(
        default_factory=dict,
        description="what opens the source: `HTTP_TOKEN`, `HF_TOKEN`, `AWS_ACCESS_KEY_ID`, …, and "
        "the names of the secrets",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "faq",
                    "source": {"kind": "hub", "repository": "someone/faq", "split": "train"},
                    "map": {"question": "prompt", "answer": "completion"},
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _one_place(self) -> "ImportRequest":
        if (self.name is None) == (self.dataset is None):
            raise ValueError("give name, for a new dataset, or dataset, for a version of one")
        self.spec()  # Building the spec checks which fields the mode needs.
        return self

    def spec(self) -> DatasetImportSpec:
        """Return the spec of the import task."""
        reading = set(Reading.model_fields)
        return DatasetImportSpec(
            reading=Reading(**self.model_dump(include=reading)),
            **{
                name: getattr(self, name) for name in type(self).model_fields if name not in reading
            },
        )
