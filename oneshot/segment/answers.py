"""Answers that a network is scored on, by name, beside its own.

snapped: of the scene's colours (not black) the one whose pixels have the highest mean probability of
foreground, by a network that gives probabilities; all of its pixels are the mask.
A colour matcher's parts: by its cosine or its groups' own numbers alone; largest_colour and every_character
need no network.

top_K: only the K proposals that match the target best are decoded. Those for which part of the work is
done, as `oneshot.report` explains: location_given, candidates_given, choice_given.
"""

OWN = "answer"  # what the network answers to a scene and a target, and nothing else
SNAPPED = "snapped"
TOP = "top_"
COSINE = "cosine"
OWN_NUMBER = "own_number"
LARGEST_COLOUR = "largest_colour"
EVERY_CHARACTER = "every_character"
