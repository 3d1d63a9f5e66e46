"""What the ranks of one training agree on: when to stop, what they measured, their random states.

Alone, a process agrees with itself and nothing is sent.
"""

from functools import cache
from typing import Any


def count() -> int:
    """How many processes train together."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own() -> int:
    """Which of them this one is; 0 speaks and writes for all."""
    import torch.distributed as dist

    return dist.get_rank() if count() > 1 else 0


@cache
def _group() -> Any:
    """A group for small words, on the CPU: no GPU is waited for."""
    import torch.distributed as dist

    return dist.new_group(backend="gloo")


def any_of(value: bool) -> bool:
    """Whether it holds for any of them. All must ask at the same step."""
    return total([float(value)])[0] > 0


def total(values: list[float]) -> list[float]:
    """The sums over all of them."""
    if count() == 1:
        return values
    import torch
    import torch.distributed as dist

    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums, group=_group())
    return [float(value) for value in sums]


def gathered(value: Any) -> list[Any] | None:
    """The values of all, by rank, for rank 0; None for the others."""
    if count() == 1:
        return [value]
    import torch.distributed as dist

    found: list[Any] | None = [None] * count() if own() == 0 else None
    dist.gather_object(value, found, dst=0, group=_group())
    return found


def meet() -> None:
    """Wait for all of them."""
    if count() > 1:
        import torch.distributed as dist

        dist.barrier(group=_group())
