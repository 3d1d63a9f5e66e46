"""Communication among the ranks of a training job: stop requests, sums and random states.

With a single process, nothing is sent.
"""

from functools import cache
from typing import Any


def world_size() -> int:
    """Return the number of processes (ranks) in this training run."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process. Rank 0 reports and writes for all ranks."""
    import torch.distributed as dist

    return dist.get_rank() if world_size() > 1 else 0


@cache
def _group() -> Any:
    """Return a process group for small messages in CPU memory, which doesn't wait for GPUs."""
    import torch.distributed as dist

    return dist.new_group(backend="gloo")


def any_rank(value: bool) -> bool:
    """Return True if ``value`` is True on any rank. All ranks must call this at the same step."""
    return sum_over_ranks([float(value)])[0] > 0


def sum_over_ranks(values: list[float]) -> list[float]:
    """Return the sums of these values over all ranks."""
    if world_size() == 1:
        return values
    import torch
    import torch.distributed as dist

    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums, group=_group())
    return [float(value) for value in sums]


def gather(value: Any) -> list[Any] | None:
    """Return the values of all ranks in order on rank 0, and None on the others."""
    if world_size() == 1:
        return [value]
    import torch.distributed as dist

    found: list[Any] | None = [None] * world_size() if rank() == 0 else None
    dist.gather_object(value, found, dst=0, group=_group())
    return found


def barrier() -> None:
    """Wait until all ranks have called this."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.barrier(group=_group())
