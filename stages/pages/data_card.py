"""docs/data_card.md: what the data sets are, where they come from, and what they are for."""

from collections.abc import Iterable, Mapping
from typing import Any

from oneshot.omniglot.drawings import SIDE
from oneshot.published import CLUTTER_LEVELS, read_facts
from stages.pages.croissant import SPLIT_FIELDS, list_splits
from stages.pages.parameters import lay_left

DATA_CARD = """\
# Data card

Written by `python -m stages.pages` from `oneshot/published/*.json`; do not edit.
[croissant.json](croissant.json) describes the same data for programs, in the form of Croissant (JSON-LD).

## Omniglot

{n_drawings:,} handwritten characters: {n_alphabets} alphabets, real and invented, with {n_characters:,}
characters, each drawn once by {n_drawers} people. A drawing has {side} x {side} pixels of one bit.

- **Source**: <{repository}> at revision `{revision}`; drawn online by people on Amazon's Mechanical Turk,
  and published with: {citation}
- **Licence**: {licence}.
- **People**: drawers are numbers; nothing else is known of them here. Handwriting is all that the data say
  of a person.
- **Sum**: SHA-256 `{sha256}` of all drawings ({layout}).

{character_sets}

*eval* and *test* are the two halves of `images_evaluation`: test are the ten alphabets of Lake's one-shot
trials ({test_alphabets}), eval the ten others, on which choices are made.

## Cluttered Omniglot

Scenes of 96 x 96 pixels with {levels} characters, each warped and in a colour of its own; a target image of
32 x 32 pixels, which shows the drawing to be found, warped anew and in another colour; and the mask of its
pixels in the scene.

- **Source**: {source}.
- **How it is made**: a generator draws scenes from Omniglot's drawings, job by job ({job_scenes:,} scenes
  of one seed). This project renders the same bits, see [the data set from the
  shell](data_sets.md#the-data-set-from-the-shell); nothing but the drawings is downloaded.
- **Sums** of all validation and test sets: in [croissant.json](croissant.json), record set `sets`. MD5:
  {md5_from}. SHA-256: {sha256_from}.
- **Ours**: splits that begin with *covered* are {note}.

{splits}

## What it is for

- **Intended use**: research and teaching about learning from one example: finding a character in clutter,
  saying which of several characters a drawing shows.
- **Not for**: identifying people by handwriting; judging systems that read real texts or photographs, which
  these drawings and scenes do not resemble.
- **Known peculiarities**: every character of a scene has one flat colour, so that pixels can be grouped by
  colour alone; in the published scenes the target is drawn last, so that nothing covers it; a scene may
  hold a second instance of the target's character (with 256 characters half of the scenes with one-shot
  characters do, and a quarter of those with known ones); the authors drew their sets again after the paper,
  so that its figures may differ slightly from what these sets give.
- **Splits**: train on `train`, choose on `val-train` and `val-one-shot`, test once on `test-train` (known
  characters, other drawers) and `test-one-shot` (alphabets never seen).
"""


def write_data_card() -> str:
    """Write the page."""
    omniglot, cluttered, episodes = (
        read_facts(name) for name in ("omniglot", "cluttered_omniglot", "episodes")
    )
    about = omniglot["drawings"]
    character_sets = [
        [f"`{name}`", f"{about['n_alphabets'][name]}", f"{about['n_characters'][name]}", f"`{sha256}`"]
        for name, sha256 in about["by_character_set_sha256"].items()
    ]
    return DATA_CARD.format(
        n_drawings=about["n_drawings"],
        n_alphabets=sum(about["n_alphabets"].values()),
        n_characters=sum(about["n_characters"].values()),
        n_drawers=about["n_drawers"],
        side=SIDE,
        **{name: omniglot[name] for name in ("repository", "revision", "citation", "licence")},
        sha256=about["sha256"],
        layout=about["layout"],
        character_sets=lay_left(("character set", "alphabets", "characters", "SHA-256"), character_sets),
        test_alphabets=", ".join(name.replace("_", " ") for name in episodes["alphabets"]["test"]),
        levels=", ".join(map(str, CLUTTER_LEVELS)),
        **{name: cluttered[name] for name in ("source", "job_scenes", "md5_from", "sha256_from")},
        note=cluttered["ours"]["note"],
        splits=lay_rows(SPLIT_FIELDS, list_splits()),
    )


def lay_rows(fields: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Write a table of a record set, and below it what its columns mean."""
    lines = [[show_cell(name, value) for name, value in row.items()] for row in rows]
    meanings = " ".join(f"*{name}*: {words}" for name, words in fields.items())
    return f"{lay_left(tuple(fields), lines)}\n\n{meanings}"


def show_cell(name: str, value: Any) -> str:
    """Write numbers as numbers and all else, such as names and sums, as code; seeds are names."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and "seed" not in name else f"`{value}`"
