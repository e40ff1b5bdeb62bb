"""McNemar's test of whether two models differ. It imports no torch, so that tables of runs are made at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """The p-value that two models are right equally often, from the same drawings [N] put to both.

    McNemar's exact test, two-sided: of the drawings that only one of the two has right, either has half by
    chance. 1 where they agree on all. Raises ValueError where the numbers of drawings differ.
    """
    if first_right.shape != second_right.shape:
        raise ValueError(
            f"{len(first_right)} and {len(second_right)} drawings cannot be paired: evaluate both models on one split"
        )
    num_first = int((first_right & ~second_right).sum())
    num_second = int((second_right & ~first_right).sum())
    if num_first + num_second == 0:
        return 1.0
    from scipy.stats import binomtest  # slow to import, and a comparison without predictions needs none of it

    return float(binomtest(num_first, num_first + num_second).pvalue)
