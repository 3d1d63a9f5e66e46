"""The sources from which models are imported."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.names import without_traversal
from aiplatform.protocol.strict import Strict


class HubSource(Strict):
    """A repository on the configured hub: Hugging Face, a mirror of it, or ModelScope."""

    kind: Literal["hub"] = "hub"
    repository: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$"
    )
    revision: str | None = Field(None, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")

    _no_traversal = field_validator("repository", "revision")(without_traversal)


class PackageSource(Strict):
    """A model in the data files of an installed Python package, whose code is never imported."""

    kind: Literal["package"] = "package"
    package: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$")


class UploadSource(Strict):
    """Files that the caller uploads to the model before starting the import."""

    kind: Literal["upload"] = "upload"


ModelSource = Annotated[
    HubSource | PackageSource | UploadSource, Field(discriminator="kind"), KindErrors("kind")
]
