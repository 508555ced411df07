"""params.yaml, checked: unknown keys, wrong types and impossible values are named in one sentence."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from oneshot.errors import ParameterError

RecipeName = Literal["published", "fast", "own"]
ScaleName = Literal["smoke", "laptop", "paper"]
ClutterLevel = Literal[4, 8, 16, 32, 64, 128, 256]
SEGMENTATION = "segmentation"  # the task, and the one training of a network that has one
CLASSIFICATION = "classification"
SIAMESE = "siamese"  # of a classification network's `net`: the siamese network of the scale's size
PAIR_RECIPES = ("published", "background")


class Section(BaseModel):
    """Part of the parameters: fixed once read, without unknown keys; YAML's 1e-05 is a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Omniglot(Section):
    mirror: str | None
    mnist_mirror: str | None
    source: str = Field(min_length=1)


class Render(Section):
    n_workers: int


class TrainingNumbers(Section):
    """Numbers of one training; `lower_levels` is the share of scenes that lead up to a single phase.

    `weight_decay` is recipe own's; the published one is part of the losses. `covered_share` is the
    share of scenes in which half of the characters are drawn over the target.
    """

    lr: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    matching_weight: float = Field(ge=0)
    lower_levels: float = Field(ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    covered_share: float = Field(0.0, ge=0, lt=1)


class PhaseNumbers(Section):
    clutter_levels: tuple[ClutterLevel, ...] = Field(min_length=1)
    n_scenes: int = Field(ge=1)


class SegmentationAmount(Section):
    """Scenes that each training of a network gets at a scale; n_epochs places the published halvings.

    `feature_maps`: of this network, where it has not as many as the scale says. `n_views`: ways, of eight, in
    which a colour matcher's scenes are turned and mirrored.
    """

    feature_maps: int | None = Field(None, ge=1)
    n_views: int = Field(1, ge=1, le=8)
    n_epochs: int | None = Field(ge=1)
    phases: dict[str, Annotated[tuple[PhaseNumbers, ...], Field(min_length=1)]]


Amount = TypeVar("Amount", bound=Section)


class AnyNetwork(Section, Generic[Amount]):
    """Network of either task, and how much it is trained; null at a scale: not trained there."""

    net: str
    smoke: Amount | None
    laptop: Amount | None
    paper: Amount | None


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


class PublishedPairs(Section):
    batch_size: int = Field(ge=1)
    # One number for each layer, within the ranges that the paper searched in.
    lrs: tuple[Annotated[float, Field(ge=1e-4, le=1e-1)], ...]
    momenta: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    l2s: tuple[Annotated[float, Field(ge=0, le=0.1)], ...]
    patience: int | None = Field(ge=1)


class BackgroundPairs(Section):
    batch_size: int = Field(ge=1)
    lr: float = Field(gt=0, lt=1)


class EpisodeNumbers(Section):
    lr: float = Field(gt=0, lt=1)
    n_way: int = Field(ge=2)
    n_shot: int = Field(ge=1)
    n_query: int = Field(ge=1)
    within_alphabets: bool
    turned: bool
    distorted: bool


class OwnEpisodes(EpisodeNumbers):
    weight_decay: float = Field(ge=0)


class ContrastiveEpisodes(OwnEpisodes):
    mirrored: bool
    displacement: float = Field(ge=0, lt=1)


class ClassificationRecipes(Section):
    published: PublishedPairs
    background: BackgroundPairs
    own: OwnEpisodes
    contrastive: ContrastiveEpisodes
    protonet: EpisodeNumbers


class PairAmount(Section):
    n_pairs: int = Field(ge=2)
    n_copies: int = Field(ge=0)
    n_epochs: int = Field(ge=1)


class EpisodeAmount(Section):
    """Episodes an epoch, after which the validation trials are scored, and epochs."""

    n_episodes: int = Field(ge=1)
    n_epochs: int = Field(ge=1)


class PairNetwork(AnyNetwork[PairAmount]):
    """A network for classification that learns from pairs."""

    recipe: Literal["published", "background"]


class EpisodeNetwork(AnyNetwork[EpisodeAmount]):
    """A network for classification that learns from episodes.

    settings: arguments of the network's class, such as its width; without them its own defaults.
    """

    recipe: Literal["own", "protonet", "contrastive"]
    settings: dict[str, Any] = Field(default_factory=dict)


def kind_of_network(value: Any) -> str:
    return "(pairs)" if isinstance(value, dict) and value.get("recipe") in PAIR_RECIPES else "(episodes)"


ClassificationNetwork = Annotated[
    Annotated[PairNetwork, Tag("(pairs)")] | Annotated[EpisodeNetwork, Tag("(episodes)")],
    Discriminator(kind_of_network),
]


class ClassificationParams(Section):
    recipes: ClassificationRecipes
    networks: dict[str, ClassificationNetwork]


class OtherImages(Section):
    least_images: int = Field(ge=1)
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)
    n_way: int = Field(ge=2)
    n_episodes: int = Field(ge=1)
    n_verification_pairs: int = Field(ge=2)


class AlphabetCounts(Section):
    train: int = Field(ge=1)
    eval: int = Field(ge=1)
    test: int = Field(ge=1)


class Synthetic(Section):
    n_alphabets: AlphabetCounts
    n_characters: int = Field(ge=2)


class SetSize(Section):
    n_jobs: int = Field(ge=1, le=5)
    job_scenes: int = Field(ge=1, le=2000)


class SegmentationScale(Section):
    recipe: Literal["published", "fast"]
    feature_maps: int = Field(ge=1)
    n_jobs: int = Field(ge=1, le=1000)


class ClassificationScale(Section):
    base: str
    hausdorff: tuple[str, ...]


class Evaluate(Section):
    n_scenes: int = Field(ge=2)
    batch_size: int = Field(ge=1)
    n_masknet_scenes: int = Field(ge=2)


class Recheck(Evaluate):
    protocols: tuple[str, ...]


class Scale(Section):
    """The part of a scale that is not of one network."""

    source: Literal["omniglot", "synthetic"]
    synthetic: Synthetic | None
    render: SetSize
    segmentation: SegmentationScale
    classification: ClassificationScale
    evaluate: Evaluate
    recheck: Recheck

    @model_validator(mode="after")
    def check_source(self) -> "Scale":
        if self.source == "synthetic" and self.synthetic is None:
            raise ValueError("synthetic is empty, but its source is synthetic")
        return self


class Params(Section):
    """Values of params.yaml; ``scale`` is the block that ``scale_name`` chooses."""

    scale_name: ScaleName = Field(alias="scale")
    seed: int = Field(ge=0, lt=2**32)
    lr: float | None = Field(gt=0)
    device: Literal["auto", "cpu", "cuda"]
    speed: str
    omniglot: Omniglot
    render: Render
    log_every: int = Field(ge=1)
    checkpoint_seconds: float = Field(ge=0)
    segmentation: SegmentationParams
    classification: ClassificationParams
    other_images: OtherImages
    scales: dict[ScaleName, Scale] = Field(min_length=3)

    @property
    def scale(self) -> Scale:
        return self.scales[self.scale_name]

    def networks_of(self, task: str) -> dict[str, Any]:
        """Give the sections of a task's networks by name. Raises ParameterError if there is no such task."""
        if task not in (SEGMENTATION, CLASSIFICATION):
            raise ParameterError(f"there is no task {task!r}; choose {SEGMENTATION} or {CLASSIFICATION}.")
        networks: dict[str, Any] = getattr(self, task).networks
        return networks

    def find_network(self, task: str, name: str) -> Any:
        """Give the section of one network. Raises ParameterError if there is none."""
        networks = self.networks_of(task)
        if name not in networks:
            raise ParameterError(f"there is no network {name!r} for {task}; there are {', '.join(networks)}.")
        return networks[name]

    def amount_of(self, task: str, name: str) -> Any:
        """Give what the scale trains a network on; None: it does not train it."""
        return getattr(self.find_network(task, name), self.scale_name)


def load_params(path: Path = Path("params.yaml"), overrides: Iterable[str] = ()) -> Params:
    """Read and check the parameters, some replaced (see `apply_overrides`).

    Raises:
        ParameterError: the file is missing or no YAML, or a value is unknown, missing or out of range.
    """
    return check_params(apply_overrides(read_values(path), overrides), str(path))


def read_values(path: Path = Path("params.yaml")) -> Any:
    """Read what the file holds, unchecked. Raises ParameterError if it is missing or no YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(
            f"there is no {path} in this folder: run the command at the project's top level."
        ) from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from error


def apply_overrides(values: Any, overrides: Iterable[str]) -> Any:
    """Give the values with some replaced, each written as DVC's -S takes it: PLACE.OF.KEY=VALUE in YAML.

    Raises:
        ParameterError: an override has no '=', names no known parameter, or its value is no YAML.
    """
    values = copy.deepcopy(values)
    for override in overrides:
        place, equals, text = override.partition("=")
        if not equals:
            raise ParameterError(f"-S {override} lacks a value: write it as {place}=VALUE.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ParameterError(f"-S {override}: {text!r} is not readable as YAML.") from None
        section, path = values, place.split(".")
        for number, part in enumerate(path):
            if number:
                section = section[key]
            key: Any = int(part) if isinstance(section, list) and part.isdecimal() else part
            known = range(len(section)) if isinstance(section, list) else section
            if not isinstance(section, dict | list) or key not in known:
                raise ParameterError(
                    f"-S {override}: {'.'.join(path[: number + 1])} is not a known parameter."
                )
        section[key] = value
    return values


def check_params(values: Any, name: str = "params.yaml") -> Params:
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ParameterError(f"{name}: {describe_problems(error)}.") from None


def describe_problems(error: ValidationError) -> str:
    """Say all that is wrong, in one sentence."""
    problems = []
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        place = ".".join(part for part in parts if not part.startswith("(")) or "the file"
        if problem["type"] == "extra_forbidden":
            problems.append(f"{place} is not a known parameter")
        elif problem["type"] == "missing":
            problems.append(f"{place} is missing")
        elif problem["type"] == "value_error":
            problems.append(f"{place}.{problem['msg'].removeprefix('Value error, ')}")
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            problems.append(f"{place} is {problem['input']!r}, but {message}")
    return "; ".join(problems)
