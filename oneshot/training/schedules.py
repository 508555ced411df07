"""Learning rates over a training: the share of the top rate that a step gets."""

import math

WARM_UP = 0.1  # of all steps


def halvings(step: int, n_steps: int, n_epochs: int | None = None) -> float:
    """Halve at the start of epochs E//2, 3E//4, 7E//8; without epochs, after 1/2, 3/4, 7/8 of the steps."""
    if n_epochs is None:
        starts = [n_steps * eighths / 8 for eighths in (4, 6, 7)]
    else:
        starts = [n_steps * (n_epochs * eighths // 8) / n_epochs for eighths in (4, 6, 7)]
    return 0.5 ** sum(step >= start for start in starts)


def warm_up_and_cosine(step: int, n_steps: int, n_epochs: int | None = None) -> float:
    """Rise linearly over the first tenth of the steps, then fall along a cosine to zero."""
    n_warm = max(1, round(WARM_UP * n_steps))
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))
