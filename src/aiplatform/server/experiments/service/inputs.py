"""Inputs of training tasks and evaluations.

They are checked, and their exact versions are chosen, before the task is queued.
"""

import shlex
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DataShape
from aiplatform.protocol.references import DatasetRef
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import queries as datasets_queries
from aiplatform.server.datasets import service as datasets
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.errors import DatasetNotTrainable, PreferencePairsRefused
from aiplatform.server.experiments.rules import TRAINABLE_SHAPES
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import InputRef, Inputs
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model

DATASET = "dataset"
EVAL_DATASET = "eval_dataset"


def pin_rows(
    session: Session, context: ProjectContext, ref: DatasetRef, role: str
) -> tuple[DatasetRef, InputRef]:
    """Return a dataset reference with an exact version, and the corresponding task input.

    Raises:
        NotFound: the project has no such dataset or version.
        DatasetNotTrainable: its rows are neither conversations nor texts.
    """
    pinned, item = datasets.pinned_input(session, context, ref, role)
    shape = queries.shape_of(session, item.dataset_version_id)
    if shape not in TRAINABLE_SHAPES:
        raise DatasetNotTrainable(dataset=item.label, shape=shape)
    return pinned, item


def refuse_preference_pairs(session: Session, item: InputRef, method: str) -> None:
    """Refuse preference pairs for supervised fine-tuning, which would ignore half of each pair.

    Raises:
        PreferencePairsRefused: the message says how to train on the chosen answers.
    """
    version = item.dataset_version_id
    if method != "sft" or queries.shape_of(session, version) != DataShape.PREFERENCE:
        return
    # Without a prompt column, both conversations of a pair contain the prompt.
    target = "completion" if "prompt" in queries.columns_of(session, version) else "messages"
    name = item.label.partition("@")[0]
    raise PreferencePairsRefused(
        dataset=item.label,
        command=f"aiplatform datasets map {shlex.quote(name)} chosen={target}",
        target=target,
    )


def base_model(session: Session, context: ProjectContext, uuid: UUID) -> tuple[Model, InputRef]:
    """Return a model to tune, and the corresponding task input.

    Raises:
        NotFound, ModelNotReady: see ``registry.service.usable_model``.
    """
    model = registry.usable_model(session, context, uuid)
    return model, registry.input_ref(session, model, registry.BASE_MODEL)


def task_inputs(session: Session, task: Task) -> Inputs:
    """Return the files of a task's inputs.

    Raises:
        NotFound: an input has since been deleted.
    """
    inputs = Inputs()
    for item in queries.inputs_of(session, task):
        if item.dataset_version_id is not None:
            file = datasets_queries.rows_file(session, item.dataset_version_id)
            if file is None:
                raise NotFound(resource="dataset version")
            inputs.single[item.role] = file
        elif item.model_id is not None:
            model = session.get_one(Model, item.model_id)
            inputs.trees[item.role] = registry_queries.files(session, model)
        else:
            raise NotFound(resource=item.role)
    return inputs
