"""Models whose tokenizers count tokens, read without the registry, which is a higher domain."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import column, select, table
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus
from aiplatform.server.core import storage
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.errors import BaseModelNotReady
from aiplatform.server.projects.access import ProjectContext

_models = table("models", column("id"), column("uuid"), column("project_id"), column("name"),
                column("version"))  # fmt: skip
_model_details = table("model_details", column("model_id"), column("status"))
"""Columns of the registry's tables that are needed here."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model whose tokenizer counts tokens: internal id, name with version, hash of its files."""

    id: int
    label: str
    content_hash: str


def tokenizer_files(session: Session, model_id: int) -> list[StoredFile]:
    """Return a model's files except the weights, which a tokenizer does not need."""
    return [
        file
        for file in storage.files_of(session, model_id=model_id)
        if not file.path.endswith((".safetensors", ".gguf")) and file.path.startswith("weights/")
    ]


def usable_base_model(session: Session, context: ProjectContext, uuid: UUID) -> BaseModel:
    """Lock a ready model of the project, or a shared one, against deletion, and return it.

    Raises:
        NotFound: when there is no such model, or it belongs to another project.
        BaseModelNotReady: while its files are incomplete.
    """
    row = session.execute(
        select(_models.c.id, _models.c.name, _models.c.version, _model_details.c.status)
        .join(_model_details, _model_details.c.model_id == _models.c.id)
        .where(
            _models.c.uuid == uuid,
            (_models.c.project_id == context.project_id) | _models.c.project_id.is_(None),
        )
        .with_for_update(read=True, key_share=True, of=_models)
    ).one_or_none()
    if row is None:
        raise NotFound(resource="model")
    label = f"{row.name}@{row.version}"
    if row.status != ModelStatus.READY:
        raise BaseModelNotReady(model=label, model_status=row.status)
    lines = [f"{file.path} {file.sha256}\n" for file in tokenizer_files(session, row.id)]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return BaseModel(row.id, label, digest)
