"""Checkpoints that can be trusted: complete or not there, and no pickle in them.

A checkpoint directory holds

- ``adapter_model.safetensors`` and ``adapter_config.json``: the adapter, as PEFT writes it;
- ``trainer_state.json``: step, epoch and the history of losses, as transformers writes it;
- ``training_state.safetensors`` and ``training_state.json``: optimizer, scheduler and the states of
  all random number generators, tensors here and everything else there;
- ``complete.json``: the size of each file, written last.

It is written under another name, synced to the disk and renamed. A checkpoint whose files are
missing or shorter than ``complete.json`` says is none, however it came about.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from aiplatform.runtime.artifacts import fsync, seal

PREFIX = "checkpoint-"
PARTIAL = ".partial-"
MANIFEST = "complete.json"
STATE = "training_state"
KEPT = 2
"""The newest, and the one before it, which a reader of the newest announcement may still hold."""


def partial_directory(parent: Path, step: int) -> Path:
    """An empty directory to write the checkpoint of ``step`` into."""
    partial = parent / f"{PARTIAL}{step}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def commit(partial: Path) -> Path:
    """Make a written checkpoint count, durably, and return where it lies."""
    step = partial.name.removeprefix(PARTIAL)
    final = partial.with_name(f"{PREFIX}{step}")
    files = sorted(path for path in partial.rglob("*") if path.is_file())
    sizes = {str(path.relative_to(partial)): path.stat().st_size for path in files}
    (partial / MANIFEST).write_text(json.dumps({"files": sizes}, indent=1), encoding="utf-8")
    seal(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    fsync(final.parent)
    return final


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of the checkpoint is there, in its full length."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        return all(
            (checkpoint / name).stat().st_size == size for name, size in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def usable(checkpoint: Path) -> Path | None:
    """``checkpoint`` if it is complete, else the newest complete one beside it, else None."""
    if is_complete(checkpoint):
        return checkpoint
    older = [path for path in by_step(checkpoint.parent) if is_complete(path)]
    return older[-1] if older else None


def by_step(parent: Path) -> list[Path]:
    """The checkpoint directories in ``parent``, oldest first."""
    found = [
        path
        for path in parent.glob(f"{PREFIX}*")
        if path.name.removeprefix(PREFIX).isdigit() and path.is_dir()
    ]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix(PREFIX))


def prune(parent: Path) -> None:
    """Remove all but the newest checkpoints."""
    for checkpoint in by_step(parent)[:-KEPT]:
        shutil.rmtree(checkpoint, ignore_errors=True)


def write_state(directory: Path, state: dict[str, Any]) -> None:
    """Write nested containers of tensors, arrays and plain values, without a pickle."""
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    packed = pack(state, tensors)
    save_file(tensors, directory / f"{STATE}.safetensors")
    text = json.dumps(packed, allow_nan=False)
    (directory / f"{STATE}.json").write_text(text, encoding="utf-8")


def read_state(directory: Path) -> dict[str, Any]:
    """What :func:`write_state` wrote, equal in types and values. Tensors are on the CPU."""
    from safetensors.torch import load_file

    tensors = load_file(directory / f"{STATE}.safetensors")
    packed = json.loads((directory / f"{STATE}.json").read_text(encoding="utf-8"))
    state: dict[str, Any] = unpack(packed, tensors)
    return state


def pack(value: Any, tensors: dict[str, Any]) -> Any:
    """``value`` as JSON, its tensors moved to ``tensors`` and referred to by name.

    Raises:
        TypeError: for what has no such form. Nothing is lost silently.
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
            # safetensors has no signedness problem with a view of the same width.
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
    """The inverse of :func:`pack`."""
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
