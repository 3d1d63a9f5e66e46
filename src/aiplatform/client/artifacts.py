"""Artifacts: files that tasks leave as results, other than models and datasets."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from aiplatform.client.base import Connection, Resource
from aiplatform.client.downloads import download
from aiplatform.client.errors import ClientError
from aiplatform.client.pages import Pages
from aiplatform.language import tr
from aiplatform.protocol.shapes.tasks import ArtifactOut


class Artifact(Resource, ArtifactOut):
    """A file that a task left as a result. ``size`` is in bytes."""


def artifacts_of(client: Connection, task: UUID, *, limit: int | None = None) -> Pages[Artifact]:
    """List a task's artifacts, ordered by path."""

    def made(item: object) -> Artifact:
        artifact = Artifact.read_answer(item)
        artifact.bind(client)
        return artifact

    return Pages(
        lambda cursor, size: client.transport.get(
            f"tasks/{task}/artifacts", cursor=cursor, limit=size
        ),
        made,
        limit=limit,
    )


def download_artifacts(
    client: Connection, task: UUID, artifacts: Iterable[Artifact], directory: Path
) -> list[Path]:
    """Download artifacts to ``directory`` and check each file against its hash.

    Raises:
        ClientError: if an artifact's path would lead out of the directory.
    """
    root = directory.resolve()
    fetched = []
    for artifact in artifacts:
        target = (root / artifact.path).resolve()
        if not target.is_relative_to(root):
            raise ClientError(
                tr(
                    "the artifact {path!r} would lie outside {directory}",
                    path=artifact.path,
                    directory=directory,
                )
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        path = f"tasks/{task}/artifacts/{quote(artifact.path)}"
        fetched.append(download(client.transport, path, target, sha256=artifact.sha256))
    return fetched
