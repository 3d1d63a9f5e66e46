"""Environment variables through which the processes of one script find each other.

The variables are those of torchrun, which torch, accelerate and DeepSpeed read. The worker itself
doesn't need torch to set them, and a script may connect its processes in another way.
"""

import os
import socket

from aiplatform.protocol.messages import Job, Ranks
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.runtime.distributed.rank import interface_of

LOOPBACK = "127.0.0.1"
TRANSPORT_PREFIXES = ("GLOO_", "NCCL_")


def default_variables(spec: ScriptSpec, ranks: Ranks | None) -> dict[str, str]:
    """Return default variables for threads and network interfaces; none for a single process.

    Variables that the task sets take precedence.
    """
    if ranks is None:
        return {}
    cores = max(1, round(spec.resources.cpus)) // ranks.processes
    found = {"OMP_NUM_THREADS": str(max(1, cores))}
    interface = interface_of(ranks.address or LOOPBACK)
    if interface is not None:
        found |= {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface}
    # The worker's own network settings apply to the script, too.
    return found | {
        key: os.environ[key] for key in os.environ if key.startswith(TRANSPORT_PREFIXES)
    }


def rank_variables(job: Job) -> list[dict[str, str]]:
    """Return the variables of each process on this node: its rank and the address of all ranks.

    A script with a single process gets no variables.
    """
    ranks = job.ranks
    if ranks is None:
        return [{}]
    host, _, port = (ranks.endpoint or f"{LOOPBACK}:{free_port()}").rpartition(":")
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
    """Return a port on this machine on which nothing is listening."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_first(variables: dict[str, str]) -> bool:
    """Return True if the variables are those of rank 0, the only process whose reports are read."""
    return variables.get("RANK", "0") == "0"
