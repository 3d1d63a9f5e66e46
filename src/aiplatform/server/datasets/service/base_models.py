"""Models whose tokenizers count tokens. The registry decides which ones a project may use."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.server.core import storage
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.projects.access import ProjectContext

UseModel = Callable[[Session, ProjectContext, UUID], tuple[int, str]]
"""Handler that locks a model that the project may use, and returns its id and label.

It raises NotFound, or ModelNotReady while the model's files are incomplete.
"""

_handlers: list[UseModel] = []


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model whose tokenizer counts tokens: internal id, name with version, hash of its files."""

    id: int
    label: str
    content_hash: str


def on_use(handler: UseModel) -> None:
    """Set the handler that decides which models are usable; called by the composition root."""
    _handlers[:] = [handler]


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
        ModelNotReady: while its files are incomplete.
    """
    [use] = _handlers
    model_id, label = use(session, context, uuid)
    lines = [f"{file.path} {file.sha256}\n" for file in tokenizer_files(session, model_id)]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return BaseModel(model_id, label, digest)
