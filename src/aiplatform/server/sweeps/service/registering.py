"""Giving the model of the best trial a name of its own."""

from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.sweeps import SweepSpec
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.service import register_again
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.errors import NoBestModel
from aiplatform.server.sweeps.service.advancing import best_of


def register_best(
    session: Session, context: ProjectContext, uuid: UUID, *, name: str
) -> tuple[Model, bool]:
    """Enter the model of the sweep's best trial as the next version of ``name``.

    One that was entered there before is left as it is. Returns the model and whether it is new. A
    sweep that runs may find a better one later, which is then another version.

    Raises:
        NotFound: when the project has no such sweep.
        NoBestModel: when no trial has succeeded, or the best one's model is gone.
        ModelNotReady: never for what a training has made.
    """
    # Locked, so that of two who ask at once the second finds what the first has entered.
    sweep = queries.lock_sweep(session, context, uuid)
    best = best_of(SweepSpec.model_validate(sweep.spec), queries.trials(session, sweep))
    model = None if best is None else queries.model_of(session, context, best)
    if model is None:
        raise NoBestModel(sweep=sweep.name)
    return register_again(session, context, model, name=name)
