"""Use cases for the registry.

``imports`` imports models. ``aliases`` moves the names that point to versions. ``registration``
registers tuned models, decides which models a task may use, resolves references to models that a
training task has yet to produce, and deletes models.
"""

from aiplatform.server.registry.service.aliases import delete_alias, set_alias, undo
from aiplatform.server.registry.service.imports import (
    add_file,
    check_path,
    open_for_files,
    start_import,
)
from aiplatform.server.registry.service.registration import (
    BASE_MODEL,
    create_model,
    delete_model,
    input_ref,
    model_inputs,
    pin_produced_model,
    register_again,
    register_tuned,
    resolve_model,
    tunable_model,
    usable_model,
    use_model,
)

__all__ = [
    "BASE_MODEL",
    "add_file",
    "check_path",
    "create_model",
    "delete_alias",
    "delete_model",
    "input_ref",
    "model_inputs",
    "open_for_files",
    "pin_produced_model",
    "register_again",
    "register_tuned",
    "resolve_model",
    "set_alias",
    "start_import",
    "tunable_model",
    "undo",
    "usable_model",
    "use_model",
]
