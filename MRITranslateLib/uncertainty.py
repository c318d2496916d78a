"""How much a model's answer depends on what should not matter: the spread under small changes of the input.

Test-time augmentation (Wang et al., Neurocomputing 2019): the same slices mirrored, a little brighter and a little
darker. The spread is a lower bound of the error: what a model has never learnt, it may get wrong every time alike.
"""

from collections.abc import Callable

import numpy as np

from .preparation import Preparation

_BRIGHTNESS = 0.05


def spread(
    preparation: Preparation, plain: np.ndarray, run: Callable[[Preparation, int, int], np.ndarray]
) -> np.ndarray:
    """Voxel-wise standard deviation over four runs, in network units: float32 (slices, rows, columns).

    Args:
        preparation: Of the image.
        plain: The network's answer to it as it is.
        run: Gives the network's answer to a preparation; its other arguments are the run's number and the number of
        runs.
    """
    values = preparation.array
    mirrored = run(preparation.with_array(values[:, :, ::-1]), 1, 4)[:, :, ::-1]
    brighter, darker = (
        run(preparation.with_array((values + 1) * np.float32(1 + sign * _BRIGHTNESS) - 1), number, 4)
        for number, sign in ((2, 1), (3, -1))
    )
    mean = (plain + mirrored + brighter + darker) / 4
    squares = sum((answer - mean) ** 2 for answer in (plain, mirrored, brighter, darker))
    return np.sqrt(squares / 4).astype(np.float32)
