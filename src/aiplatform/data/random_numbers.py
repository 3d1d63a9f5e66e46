"""Reproducible random numbers that depend only on a seed and on the positions of rows."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]


def pseudo_random(positions: Numbers, seed: int) -> Numbers:
    """Return a pseudo-random number for each position (SplitMix64, Steele et al. 2014)."""
    state: Numbers = positions + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    state = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
