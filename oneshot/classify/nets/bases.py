"""What Koch's network can be built on, by the name that parameters and weight files use.

A base is an oneshot.classify.nets.koch.Base: from drawings (b x 105 x 105, ink 1) to codes (b x n_code), with
`n_code`, `settings` (its arguments, by name) and `initialise(generator)`. A new one is one file and one line
here.
"""

from oneshot.classify.nets.koch import Base, KochBase, KochSmall

BASES: dict[str, type[Base]] = {
    "koch": KochBase,
    "koch_small": KochSmall,
}
