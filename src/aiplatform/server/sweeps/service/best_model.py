"""Registration of the best trial's model."""

from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.sweeps import SweepSpec
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.service import register_again
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.errors import NoBestModel
from aiplatform.server.sweeps.service.next_step import best_of


def register_best(
    session: Session, context: ProjectContext, uuid: UUID, *, name: str
) -> tuple[Model, bool]:
    """Register the model of the sweep's best trial as the next version of ``name``.

    If it is already registered under that name, it is returned unchanged. Return the model, and
    True if it is new. A running sweep may later find a better model, which becomes another version.

    Raises:
        NotFound: the project has no such sweep.
        NoBestModel: no trial has succeeded, or the best one's model is gone.
    """
    # Locked, so that the second of two simultaneous requests finds the model of the first.
    sweep = queries.lock_sweep(session, context, uuid)
    best = best_of(SweepSpec.model_validate(sweep.spec), queries.trials(session, sweep))
    model = None if best is None else queries.model_of(session, context, best)
    if model is None:
        raise NoBestModel(sweep=sweep.name)
    return register_again(session, context, model, name=name)
