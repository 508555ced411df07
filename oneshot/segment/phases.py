"""Phases of training: so many scenes of these clutter levels, one after another."""

from collections.abc import Sequence
from dataclasses import dataclass

from oneshot.clutter.scenes import JOB_SCENES
from oneshot.published import CLUTTER_LEVELS

N_WINDOW_JOBS = 4  # whose scenes are shuffled together


@dataclass(frozen=True)
class Phase:
    """So many scenes to train on, from jobs of these levels in turn (a level listed twice: twice as many)."""

    clutter_levels: tuple[int, ...]
    n_scenes: int


def lead_up(phase: Phase, lower_share: float, unit: int = 1) -> tuple[Phase, ...]:
    """Spend a share of a phase's scenes on less clutter first, as many on each step; the rest as it was.

    One level is climbed to from level 4; a mix of levels is widened from its first, a level at a time. Each
    step gets a multiple of `unit`, such as the batch size, so that batches are of one size.
    """
    levels = phase.clutter_levels
    steps: list[tuple[int, ...]]
    if len(levels) == 1:
        steps = [(level,) for level in CLUTTER_LEVELS if level < levels[0]]
    else:
        steps = [levels[:n] for n in range(1, len(levels))]
    n_each = int(phase.n_scenes * lower_share / len(steps) / unit) * unit if steps else 0
    if n_each == 0:
        return (phase,)
    left = phase.n_scenes - n_each * len(steps)
    return (*(Phase(step, n_each) for step in steps), Phase(levels, left))


def cut(
    phases: Sequence[Phase], n_scenes: int, batch_size: int, n_window_jobs: int = N_WINDOW_JOBS
) -> tuple[Phase, ...]:
    """Cut the phases in proportion, `n_scenes` at most in all where each has its smallest part.

    Long phases end with a window, short ones with a batch: the sizes of batches do not change, for which a
    network would have to be compiled again.
    """
    share = n_scenes / sum(phase.n_scenes for phase in phases)
    window = n_window_jobs * JOB_SCENES
    shortened = []
    for phase in phases:
        wanted = phase.n_scenes * share
        unit = window if wanted >= 10 * window else batch_size
        shortened.append(Phase(phase.clutter_levels, max(batch_size, int(wanted / unit) * unit)))
    return tuple(shortened)
