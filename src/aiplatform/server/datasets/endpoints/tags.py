"""Routes for tags: movable names for versions, such as `prod`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, status
from sqlalchemy.orm import Session

from aiplatform.protocol.shapes.datasets import TagOut
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.server.datasets import access, queries
from aiplatform.server.datasets.errors import TagIsVersion
from aiplatform.server.datasets.rules import TAG_PATTERN, is_label
from aiplatform.server.datasets.schemas import TagList, TagMove
from aiplatform.server.datasets.service import history
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1/datasets/{dataset}/tags")
TagName = Annotated[str, Path(pattern=TAG_PATTERN, description="lower-case, as in `prod`")]


def render_tags(session: Session, context: ProjectContext, dataset: UUID) -> TagList:
    """Return the response body with all tags of a dataset."""
    head = queries.get_dataset(session, context, dataset)
    return TagList(
        items=[
            TagOut(
                name=tag.name,
                version=version,
                moved_by=None if uuid is None else UserRef(uuid=uuid, username=username),
                moved_at=tag.moved_at,
            )
            for tag, version, uuid, username in queries.tags(session, head)
        ]
    )


@router.get("", summary="List tags")
def list_dataset_tags(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
) -> TagList:
    """List all tags of a dataset by name."""
    return render_tags(session, context, dataset)


@router.put("/{tag}", summary="Set or move a tag")
def set_dataset_tag(
    dataset: UUID,
    tag: TagName,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    body: TagMove,
) -> TagList:
    """Set the tag to a version. From now on, `@tag` refers to that version."""
    if is_label(tag):
        raise TagIsVersion(tag=tag)
    history.set_tag(session, context, dataset, tag, body.version)
    return render_tags(session, context, dataset)


@router.delete("/{tag}", status_code=status.HTTP_204_NO_CONTENT, summary="Remove a tag")
def delete_dataset_tag(
    dataset: UUID,
    tag: TagName,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
) -> None:
    """Remove a tag. The version that it referred to is kept."""
    history.remove_tag(session, context, dataset, tag)
