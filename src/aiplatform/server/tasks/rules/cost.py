"""What an attempt costs: hours times prices that the settings name."""

from collections.abc import Mapping, Sequence

OTHER_GPUS = "gpu"
CPU = "cpu"


def cost_of(
    prices: Mapping[str, float],
    gpus: Sequence[Mapping[str, object]],
    cpus: float,
    seconds: float,
) -> float | None:
    """The cost of holding ``gpus`` and ``cpus`` for ``seconds``; None when nothing has a price.

    A GPU has a ``label`` (as in ``gpu:a100``; None when its model is not known) and the ``share``
    of it that is held. One without a price of its own costs what ``gpu`` says, else nothing.
    """
    if not prices:
        return None
    hourly = cpus * prices.get(CPU, 0.0)
    for gpu in gpus:
        price = prices.get(str(gpu["label"]), prices.get(OTHER_GPUS, 0.0))
        hourly += price * float(str(gpu["share"]))
    return hourly * seconds / 3600
