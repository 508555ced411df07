"""The sections of params.yaml about segmentation: recipes, and networks with what they are trained on."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from oneshot.params.section import (
    MOST_EPOCHS,
    MOST_FEATURE_MAPS,
    MOST_IN_A_BATCH,
    MOST_SEEN,
    SEGMENTATION,
    AnyNetwork,
    Section,
)

RecipeName = Literal["published", "fast", "own"]
ClutterLevel = Literal[4, 8, 16, 32, 64, 128, 256]
JOINT = "joint"  # end of the name of a network for several clutter levels


class TrainingNumbers(Section):
    """Numbers of one training; `lower_levels` is the share of scenes that lead up to a single phase.

    `weight_decay` is recipe own's; the published one is part of the losses. `covered_share` is the share of
    scenes in which half of the characters are drawn over the target.
    """

    lr: float = Field(gt=0, le=10)
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    matching_weight: float = Field(ge=0, le=100)
    lower_levels: float = Field(ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=10)
    covered_share: float = Field(0.0, ge=0, lt=1)


class PhaseNumbers(Section):
    clutter_levels: tuple[ClutterLevel, ...] = Field(min_length=1)
    n_scenes: int = Field(ge=1, le=MOST_SEEN)

    @field_validator("clutter_levels")
    @classmethod
    def refuse_repeats(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(levels)) < len(levels):
            raise PydanticCustomError("repeats", "every level stands once: levels are drawn evenly")
        return levels


class SegmentationAmount(Section):
    """Scenes that each training of a network gets at a scale; n_epochs places the published halvings.

    `feature_maps`: of this network, where it has not as many as the scale says. `n_views`: ways, of eight, in
    which a colour matcher's scenes are turned and mirrored.
    """

    feature_maps: int | None = Field(None, ge=1, le=MOST_FEATURE_MAPS)
    n_views: int = Field(1, ge=1, le=8)
    n_epochs: int | None = Field(ge=1, le=MOST_EPOCHS)
    phases: dict[str, Annotated[tuple[PhaseNumbers, ...], Field(min_length=1)]]


class SegmentationNetwork(AnyNetwork[SegmentationAmount]):
    """A network for segmentation; `recipes` names the section of segmentation.recipes with its numbers.

    `needs` is the drawings' manifest, or the network (models/segmentation/NAME) whose weights it starts from.
    """

    recipes: str
    needs: str

    @property
    def starts_from(self) -> str | None:
        """The name of the network that it starts from, if any."""
        folder, _, name = self.needs.rpartition("/")
        return name if folder == f"models/{SEGMENTATION}" else None


class SegmentationParams(Section):
    recipes: dict[str, dict[RecipeName, dict[str, TrainingNumbers]]]
    proposals_share: float = Field(gt=0, lt=1)
    networks: dict[str, SegmentationNetwork]

    @model_validator(mode="after")
    def check_networks(self) -> "SegmentationParams":
        """Check every network by what it refers to."""
        for name, network in self.networks.items():
            if network.recipes not in self.recipes:
                raise ValueError(f"networks.{name}.recipes is {network.recipes!r}, which there are not")
            self.check_end(name, network)
            if network.starts_from is not None and network.starts_from not in self.networks:
                raise ValueError(f"networks.{name} needs {network.needs!r}, which is none of the networks")
            for recipe, numbers in self.recipes[network.recipes].items():
                for scale in ("smoke", "laptop", "paper"):
                    amount = getattr(network, scale)
                    if amount is not None and amount.phases.keys() != numbers.keys():
                        raise ValueError(
                            f"networks.{name}.{scale}.phases are of {', '.join(amount.phases)}, but recipe "
                            f"{recipe} of {network.recipes} trains {', '.join(numbers)}"
                        )
        return self

    def check_end(self, name: str, network: SegmentationNetwork) -> None:
        """Check the level that a network's name ends on, at which alone it is evaluated; -joint: at all."""
        _, dash, end = name.partition("-")
        if not dash or end == JOINT:
            return
        if end not in map(str, get_args(ClutterLevel)):
            raise ValueError(f"networks.{name}: after - a name has a clutter level, or {JOINT}")
        for scale in ("smoke", "laptop", "paper"):
            amount = getattr(network, scale)
            for phases in amount.phases.values() if amount else ():
                if phases[-1].clutter_levels != (int(end),):
                    raise ValueError(
                        f"networks.{name}.{scale} ends its training at clutter levels "
                        f"{list(phases[-1].clutter_levels)}, but is evaluated at {end} alone"
                    )
