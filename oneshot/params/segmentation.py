"""The sections of params.yaml about segmentation: recipes, and networks with what they are trained on."""

from typing import Annotated, Any, Literal, get_args

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
WITHOUT_START = "data/manifests/drawings.json"  # what a network needs that starts from no other
KINDS = ("siamese_unet", "masknet", "colour_matcher")


class TrainingNumbers(Section):
    """Numbers of one training."""

    lr: float = Field(gt=0, le=10)
    """Learning rate."""
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    """Scenes in a batch."""
    matching_weight: float = Field(ge=0, le=100)
    """Weight of the matching loss, which is told where distractors are."""
    lower_levels: float = Field(ge=0, lt=1)
    """Share of scenes with less clutter, which lead up to a single phase."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    """Weight decay, of recipe own alone; the published one is part of the losses."""
    covered_share: float = Field(0.0, ge=0, lt=1)
    """Share of scenes in which half of the characters are drawn over the target."""


class PhaseNumbers(Section):
    clutter_levels: tuple[ClutterLevel, ...] = Field(min_length=1)
    """Clutter levels of the phase's scenes, drawn evenly."""
    n_scenes: int = Field(ge=1, le=MOST_SEEN)
    """Scenes of the phase."""

    @field_validator("clutter_levels")
    @classmethod
    def refuse_repeats(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(levels)) < len(levels):
            raise PydanticCustomError("repeats", "every level stands once: levels are drawn evenly")
        return levels


class SegmentationAmount(Section):
    """Scenes that each training of a network gets at a scale."""

    feature_maps: int | None = Field(None, ge=1, le=MOST_FEATURE_MAPS)
    """Feature maps of this network, where they are not those of the scale."""
    n_views: int = Field(1, ge=1, le=8)
    """Ways, of eight, in which a colour matcher's scenes are turned and mirrored."""
    n_epochs: int | None = Field(ge=1, le=MOST_EPOCHS)
    """Epochs that place the published halvings of the rate; null: the rate follows the scenes."""
    phases: dict[str, Annotated[tuple[PhaseNumbers, ...], Field(min_length=1)]]


class SegmentationNetwork(AnyNetwork[SegmentationAmount]):
    """A network for segmentation."""

    recipes: str
    """Section of segmentation.recipes with the numbers of its training."""
    needs: str
    """Manifest of the drawings, or models/segmentation/NAME of the network whose weights it starts from."""

    @property
    def starts_from(self) -> str | None:
        """The name of the network that it starts from, if any."""
        folder, _, name = self.needs.rpartition("/")
        return name if folder == f"models/{SEGMENTATION}" else None


def kind_of(name: str) -> str:
    """Give the kind with which the name of a net or of recipes begins, or the name where a kind was added."""
    return next((kind for kind in KINDS if name.startswith(kind)), name)


class SegmentationParams(Section):
    """Recipes, and the networks of this copy of the project: any may be left out that none starts from."""

    recipes: dict[str, dict[RecipeName, dict[str, TrainingNumbers]]]
    proposals_share: float = Field(gt=0, lt=1)
    """Share of a recorded run's time that the first of two trainings gets."""
    networks: dict[Annotated[str, Field(pattern="^[A-Za-z0-9_]+(-[A-Za-z0-9_]+)?$")], SegmentationNetwork] = (
        Field(min_length=1)
    )

    @field_validator("recipes")
    @classmethod
    def check_used(cls, recipes: dict[str, Any]) -> dict[str, Any]:
        """Refuse a number that a training would not use."""
        for name, by_recipe in recipes.items():
            for recipe, by_training in by_recipe.items():
                for training, numbers in by_training.items():
                    matches = kind_of(name) != "colour_matcher" and training != "discriminator"
                    unused = {"weight_decay": recipe != "own", "matching_weight": not matches}
                    for number, is_unused in unused.items():
                        if is_unused and getattr(numbers, number):
                            raise PydanticCustomError(number, f"{name}.{recipe}.{training} uses no {number}")
        return recipes

    @model_validator(mode="after")
    def check_networks(self) -> "SegmentationParams":
        """Check every network by what it refers to."""
        for name, network in self.networks.items():
            if network.recipes not in self.recipes:
                raise ValueError(f"networks.{name}.recipes is {network.recipes!r}, which there are not")
            kinds = {kind_of(network.net), kind_of(network.recipes)}
            if len(kinds) > 1 and kinds <= set(KINDS):
                raise ValueError(
                    f"networks.{name} is a {network.net}, which recipes {network.recipes} do not train"
                )
            views = [amount.n_views for amount in (network.smoke, network.laptop, network.paper) if amount]
            if kind_of(network.recipes) in ("siamese_unet", "masknet") and max(views, default=1) > 1:
                raise ValueError(f"networks.{name} is no colour matcher, and uses no n_views")
            self.check_end(name, network)
            self.check_start(name, network)
            for recipe, numbers in self.recipes[network.recipes].items():
                for scale in ("smoke", "laptop", "paper"):
                    amount = getattr(network, scale)
                    if amount is not None and amount.phases.keys() != numbers.keys():
                        raise ValueError(
                            f"networks.{name}.{scale}.phases are of {', '.join(amount.phases)}, but recipe "
                            f"{recipe} of {network.recipes} trains {', '.join(numbers)}"
                        )
        return self

    def check_start(self, name: str, network: SegmentationNetwork) -> None:
        """Check what a network starts from: nothing but drawings, or a network whose weights fit it."""
        kind = "siamese_unet" if network.net == "masknet" else kind_of(network.recipes)
        place = f"networks.{name} needs {network.needs!r}"
        if network.starts_from is None:
            if network.net == "masknet" or network.needs != WITHOUT_START:
                others = "" if network.net == "masknet" else f"{WITHOUT_START}, or "
                raise ValueError(f"{place}; it can need {others}models/{SEGMENTATION}/NAME of a {kind}")
            return
        chain = [name]
        while (start := self.networks[chain[-1]].starts_from) is not None:
            if start not in self.networks:
                raise ValueError(f"{place}, which is none of the networks")
            if start in chain:
                raise ValueError(f"{place}, which starts from itself")
            chain.append(start)
        if kind_of(self.networks[network.starts_from].recipes) != kind:
            raise ValueError(f"{place}, which is no {kind}")

    def check_end(self, name: str, network: SegmentationNetwork) -> None:
        """Check that a network's name is its net, and after - the level at which alone it is evaluated."""
        start, dash, end = name.partition("-")
        if start != network.net:
            raise ValueError(
                f"networks.{name} is a {network.net}: name it {network.net}, {network.net}-LEVEL "
                f"or {network.net}-{JOINT}"
            )
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
