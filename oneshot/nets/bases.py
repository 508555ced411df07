"""What Koch's network can be built on, by the name that parameters and weight files use.

A base is a module from drawings (b x 105 x 105, ink 1) to codes (b x n_code), with `n_code`, `settings` (its
arguments, by name) and `initialise(generator)`. A new one is one file and one line here.
"""

from torch import nn

from oneshot.nets.koch import KochBase, KochSmall

BASES: dict[str, type[nn.Module]] = {
    "koch": KochBase,
    "koch_small": KochSmall,
}
