"""The sources from which rows are imported."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.names import without_traversal
from aiplatform.protocol.strict import Strict


class UrlSource(Strict):
    """A file at a public address; the secret ``HTTP_TOKEN`` is sent as a bearer token."""

    kind: Literal["url"] = "url"
    url: str = Field(max_length=4000, pattern=r"^https?://[^\s]+$")


class S3Source(Strict):
    """An object in S3 or a compatible store.

    The request is signed with the secrets ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` (and
    ``AWS_SESSION_TOKEN``). Without them, the object must be public.
    """

    kind: Literal["s3"] = "s3"
    uri: str = Field(
        max_length=1200, pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9]/.+$"
    )
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,50}$")
    endpoint: str | None = Field(
        None,
        max_length=300,
        pattern=r"^https?://[^\s?#]+$",
        description="of a store other than Amazon's",
    )


class DataHubSource(Strict):
    """Data files of a dataset on the configured hub: Hugging Face, a mirror of it, or ModelScope.

    The secret ``HF_TOKEN`` (or ``MODELSCOPE_API_TOKEN``) gives access to private and gated
    datasets. Files are downloaded unchanged; scripts among them are never run.
    """

    kind: Literal["hub"] = "hub"
    repository: str = Field(pattern=r"^[A-Za-z0-9._-]{1,96}(/[A-Za-z0-9._-]{1,96})?$")
    revision: str | None = Field(None, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    file: str | None = Field(None, min_length=1, max_length=500, description="one file by its path")
    subset: str | None = Field(None, max_length=200, description="a configuration of the dataset")
    split: str | None = Field(None, max_length=100, description="such as `train`")

    _no_traversal = field_validator("repository", "revision", "file")(without_traversal)


DataSource = Annotated[
    UrlSource | S3Source | DataHubSource, Field(discriminator="kind"), KindErrors("kind")
]


def describe_source(source: DataSource) -> str:
    """Return a short description of a source, without the query string of its address."""
    match source:
        case UrlSource(url=url):
            return url.partition("?")[0]
        case S3Source(uri=uri):
            return uri
    version = f"@{source.revision}" if source.revision else ""
    inside = source.file or "/".join(part for part in (source.subset, source.split) if part)
    return f"{source.repository}{version}" + (f" ({inside})" if inside else "")
