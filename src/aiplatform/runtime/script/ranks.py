"""The processes that run a script together: what each finds in its environment to meet the others.

The variables are those of torchrun, which torch, accelerate and DeepSpeed all read, so a script
needs no torch in the worker's environment, and none at all if it meets the others in its own way.
"""

import os
import socket

from aiplatform.protocol.messages import Job, Ranks
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.runtime.distributed.rank import interface_of

HERE = "127.0.0.1"
TRANSPORTS = ("GLOO_", "NCCL_")


def suggested(spec: ScriptSpec, ranks: Ranks | None) -> dict[str, str]:
    """What helps them, unless the task's own variables say otherwise; nothing for one alone."""
    if ranks is None:
        return {}
    cores = max(1, round(spec.resources.cpus)) // ranks.processes
    found = {"OMP_NUM_THREADS": str(max(1, cores))}
    interface = interface_of(ranks.address or HERE)
    if interface is not None:
        found |= {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface}
    # What the worker knows of its network is of use to them, too.
    return found | {key: os.environ[key] for key in os.environ if key.startswith(TRANSPORTS)}


def places_of(job: Job) -> list[dict[str, str]]:
    """For each process of this node, which one it is and where all meet; empty for one alone."""
    ranks = job.ranks
    if ranks is None:
        return [{}]
    host, _, port = (ranks.endpoint or f"{HERE}:{free_port()}").rpartition(":")
    return [
        {
            "GROUP_RANK": str(ranks.node),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(ranks.processes),
            "MASTER_ADDR": host.strip("[]"),
            "MASTER_PORT": port,
            "RANK": str(ranks.node * ranks.processes + local),
            "WORLD_SIZE": str(ranks.nodes * ranks.processes),
        }
        for local in range(ranks.processes)
    ]


def free_port() -> int:
    """A port on which nobody listens on this machine."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


def is_first(place: dict[str, str]) -> bool:
    """Whether it is the first of all, which alone is listened to."""
    return place.get("RANK", "0") == "0"
