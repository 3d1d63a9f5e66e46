"""The cost of an attempt: hours times the prices from the settings."""

from collections.abc import Mapping, Sequence

OTHER_GPUS = "gpu"
CPU = "cpu"


def cost_of(
    prices: Mapping[str, float],
    gpus: Sequence[Mapping[str, object]],
    cpus: float,
    seconds: float,
) -> float | None:
    """Return the cost of holding ``gpus`` and ``cpus`` for ``seconds``, or None without prices.

    A GPU has a ``label`` (as in ``gpu:a100``; None if its model is not known) and the ``share`` of
    it that is held. If the label has no price, the price of ``gpu`` counts, and without that the
    GPU is free.
    """
    if not prices:
        return None
    hourly = cpus * prices.get(CPU, 0.0)
    for gpu in gpus:
        price = prices.get(str(gpu["label"]), prices.get(OTHER_GPUS, 0.0))
        hourly += price * float(str(gpu["share"]))
    return hourly * seconds / 3600
