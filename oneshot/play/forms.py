"""Forms of what the page sends, which every message is checked against; answers: `oneshot.records.played`."""

from typing import Annotated

from pydantic import Field, model_validator

from oneshot.omniglot.drawings import SIDE
from oneshot.params import Section
from oneshot.params.segmentation import ClutterLevel
from oneshot.records.played import Number

LONGEST_NAME = 40  # characters

Coordinate = Annotated[float, Field(ge=0, le=SIDE)]
Line = Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=1, max_length=2000)]
Lines = Annotated[list[Line], Field(min_length=1, max_length=100)]


class Nothing(Section):
    """Message without content."""


class NewScene(Section):
    """Wish for a scene of a seed that the server draws."""

    clutter_level: ClutterLevel


class Search(Section):
    """Scene, and what to find in it: what a label stands for, or a drawing."""

    clutter_level: ClutterLevel
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    label: Number | None = None
    """Of a character in the label map; 0 is the background."""
    strokes: Lines | None = None
    """Lines that the pen went along, x to the right and y down, in pixels of a drawing of 105 x 105."""

    @model_validator(mode="after")
    def check_one_target(self) -> "Search":
        if (self.label is None) == (self.strokes is None):
            raise ValueError("give either label or strokes")
        return self


class OwnClass(Section):
    """Class that one drawing shows."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    strokes: Lines


class OwnTrial(Section):
    """Own classes, and a drawing of one of them."""

    classes: Annotated[list[OwnClass], Field(min_length=2, max_length=20)]
    query: Lines

    @model_validator(mode="after")
    def check_names_differ(self) -> "OwnTrial":
        if len({one.name for one in self.classes}) < len(self.classes):
            raise ValueError("two classes have the same name")
        return self
