"""Use cases of the registry.

``imports`` brings models in, ``registration`` enters what was tuned, says who may use what, and
deletes; ``awaiting`` finds what a training makes.
"""

from aiplatform.server.registry.service.awaiting import made, model_meant
from aiplatform.server.registry.service.imports import (
    add_file,
    check_path,
    open_for_files,
    start_import,
)
from aiplatform.server.registry.service.registration import (
    create_model,
    delete_model,
    input_ref,
    register_again,
    register_tuned,
    usable_model,
)

__all__ = [
    "add_file",
    "check_path",
    "create_model",
    "delete_model",
    "input_ref",
    "made",
    "model_meant",
    "open_for_files",
    "register_again",
    "register_tuned",
    "start_import",
    "usable_model",
]
