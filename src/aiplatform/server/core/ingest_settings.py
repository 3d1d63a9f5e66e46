"""Settings of the programs that read uploads."""

from pydantic import Field
from pydantic_settings import BaseSettings


class IngestSettings(BaseSettings):
    """What reading one upload may take, and how many are read at the same time."""

    ingest_at_once: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Uploads that one machine reads at the same time, over all API processes; the "
        "others wait on disk. By default half as many as there are CPU cores.",
    )
    ingest_at_once_per_project: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Of these, how many may belong to one project. By default half.",
    )
    ingest_memory_mb: int = Field(
        4096,
        ge=1024,
        description="Memory (address space) of the process that reads an upload, in MiB.",
    )
    ingest_cpu_seconds: int = Field(
        600,
        ge=1,
        description="CPU time that reading an upload may take, in seconds for each 256 MiB of it.",
    )
    ingest_ratio: int | None = Field(
        None,
        ge=1,
        description="Decoded over uploaded size beyond which an upload is refused as a "
        "decompression bomb; 256 MiB are always allowed. By default 250 for compressed text, 1000 "
        "for Parquet and Arrow.",
    )
    ingest_max_unpacked_bytes: int = Field(
        1 << 40, ge=1, description="Largest decoded size of an upload, in bytes; default 1 TiB."
    )
