"""Use cases for the registry.

``imports`` imports models, and ``registration`` registers them. ``selection`` decides which models
a task may use, and resolves references to models that a training task has yet to produce.
``aliases`` moves the names that point to versions. ``deletion`` moves models into the bin.
"""

from aiplatform.server.registry.service.aliases import (
    AliasMove,
    delete_alias,
    lock_alias,
    on_alias_move,
    set_alias,
    undo,
)
from aiplatform.server.registry.service.deletion import (
    delete_model,
)
from aiplatform.server.registry.service.imports import (
    add_file,
    check_path,
    open_for_files,
    start_import,
)
from aiplatform.server.registry.service.registration import (
    create_model,
    register_again,
    register_tuned,
)
from aiplatform.server.registry.service.selection import (
    BASE_MODEL,
    input_ref,
    model_inputs,
    pin_produced_model,
    require_text,
    resolve_model,
    tunable_model,
    usable_model,
    use_model,
)

__all__ = [
    "BASE_MODEL",
    "AliasMove",
    "add_file",
    "check_path",
    "create_model",
    "delete_alias",
    "delete_model",
    "input_ref",
    "lock_alias",
    "model_inputs",
    "on_alias_move",
    "open_for_files",
    "pin_produced_model",
    "register_again",
    "register_tuned",
    "require_text",
    "resolve_model",
    "set_alias",
    "start_import",
    "tunable_model",
    "undo",
    "usable_model",
    "use_model",
]
