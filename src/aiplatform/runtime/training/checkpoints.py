"""Training checkpoints, which are written atomically and contain no pickles.

A checkpoint directory contains

- ``adapter_model.safetensors`` and ``adapter_config.json``: the adapter, in PEFT's format; or, if
  the model is trained without an adapter, ``model.safetensors``: all weights;
- ``trainer_state.json``: step, epoch and the history of losses, in transformers' format;
- ``training_state.safetensors`` (tensors) and ``training_state.json`` (everything else): optimizer,
  scheduler and the states of all random number generators;
- ``complete.json``: the size of each file, written last.

A checkpoint is written under a temporary name, flushed to disk and then renamed. It is not used if
a file is missing or has a size that differs from ``complete.json``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from aiplatform.runtime.artifacts import fsync, make_durable

PREFIX = "checkpoint-"
PARTIAL = ".partial-"
MANIFEST = "complete.json"
STATE = "training_state"
KEPT_CHECKPOINTS = 2
"""Number of checkpoints to keep: the newest, and the previous one, which may still be in use."""


def partial_directory(parent: Path, step: int) -> Path:
    """Create an empty directory for the checkpoint of ``step`` and return it."""
    partial = parent / f"{PARTIAL}{step}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def commit(partial: Path) -> Path:
    """Complete a checkpoint that has been written, rename it, and return its final directory."""
    step = partial.name.removeprefix(PARTIAL)
    final = partial.with_name(f"{PREFIX}{step}")
    files = sorted(path for path in partial.rglob("*") if path.is_file())
    sizes = {str(path.relative_to(partial)): path.stat().st_size for path in files}
    (partial / MANIFEST).write_text(json.dumps({"files": sizes}, indent=1), encoding="utf-8")
    make_durable(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    fsync(final.parent)
    return final


def is_complete(checkpoint: Path) -> bool:
    """Return True if all files of the checkpoint exist and have their full size."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        return all(
            (checkpoint / name).stat().st_size == size for name, size in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def find_usable(checkpoint: Path) -> Path | None:
    """Return ``checkpoint`` if it is complete, otherwise the newest complete one beside it.

    The result is None if there is no complete checkpoint.
    """
    if is_complete(checkpoint):
        return checkpoint
    older = [path for path in list_checkpoints(checkpoint.parent) if is_complete(path)]
    return older[-1] if older else None


def list_checkpoints(parent: Path) -> list[Path]:
    """Return the checkpoint directories in ``parent``, oldest first."""
    found = [
        path
        for path in parent.glob(f"{PREFIX}*")
        if path.name.removeprefix(PREFIX).isdigit() and path.is_dir()
    ]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a checkpoint was saved."""
    return int(checkpoint.name.removeprefix(PREFIX))


def prune(parent: Path) -> None:
    """Remove all checkpoints but the newest ``KEPT_CHECKPOINTS``."""
    for checkpoint in list_checkpoints(parent)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(checkpoint, ignore_errors=True)


def write_state(directory: Path, state: dict[str, Any]) -> None:
    """Write nested containers of tensors, arrays and plain values, without pickles."""
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    packed = pack(state, tensors)
    save_file(tensors, directory / f"{STATE}.safetensors")
    text = json.dumps(packed, allow_nan=False)
    (directory / f"{STATE}.json").write_text(text, encoding="utf-8")


def read_state(directory: Path) -> dict[str, Any]:
    """Return the state written by :func:`write_state`, with tensors on the CPU."""
    from safetensors.torch import load_file

    tensors = load_file(directory / f"{STATE}.safetensors")
    packed = json.loads((directory / f"{STATE}.json").read_text(encoding="utf-8"))
    state: dict[str, Any] = unpack(packed, tensors)
    return state


def pack(value: Any, tensors: dict[str, Any]) -> Any:
    """Return ``value`` as JSON that refers to its tensors by name; add them to ``tensors``.

    Raises:
        TypeError: A value has an unsupported type.
    """
    import numpy as np
    import torch

    match value:
        case None | bool() | int() | float() | str():
            return value
        case torch.Tensor():
            name = f"t{len(tensors)}"
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {"tensor": name}
        case np.ndarray():
            name = f"t{len(tensors)}"
            # Stored as bytes, so that every numeric type can be saved.
            tensors[name] = torch.from_numpy(value.view(np.uint8).copy())
            return {"array": name, "dtype": str(value.dtype), "shape": list(value.shape)}
        case tuple():
            return {"tuple": [pack(item, tensors) for item in value]}
        case list():
            return [pack(item, tensors) for item in value]
        case dict():
            return {"dict": [[pack(k, tensors), pack(v, tensors)] for k, v in value.items()]}
    raise TypeError(f"a training state can't hold a {type(value).__name__}")


def unpack(value: Any, tensors: dict[str, Any]) -> Any:
    """Reverse :func:`pack`: return the original value."""
    import numpy as np

    match value:
        case list():
            return [unpack(item, tensors) for item in value]
        case {"tensor": name}:
            return tensors[name]
        case {"array": name, "dtype": dtype, "shape": shape}:
            return tensors[name].numpy().view(np.dtype(dtype)).reshape(shape)
        case {"tuple": items}:
            return tuple(unpack(item, tensors) for item in items)
        case {"dict": items}:
            return {unpack(k, tensors): unpack(v, tensors) for k, v in items}
    return value
