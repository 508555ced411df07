"""params.yaml, checked: unknown keys, wrong types and impossible values are named in one sentence."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from oneshot.errors import ParameterError

RecipeName = Literal["published", "fast"]
ClutterLevel = Literal[4, 8, 16, 32, 64, 128, 256]


class Section(BaseModel):
    """Fixed once read; unknown keys are refused; numbers written as text (YAML's 1e-05) are numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Omniglot(Section):
    mirror: str | None
    mnist_mirror: str | None
    source: str = Field(min_length=1)


class Render(Section):
    n_workers: int


class RecipeNumbers(Section):
    lr: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    matching_weight: float = Field(ge=0)
    lower_levels: float = Field(ge=0, lt=1)


class SiameseUNet(Section):
    recipes: dict[RecipeName, RecipeNumbers]
    log_every: int = Field(ge=1)
    checkpoint_seconds: float = Field(ge=0)


class StepNumbers(Section):
    lr: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    matching_weight: float = Field(ge=0)


class MaskNetRecipe(Section):
    proposals: StepNumbers
    discriminator: StepNumbers


class MaskNet(Section):
    recipes: dict[RecipeName, MaskNetRecipe]
    proposals_share: float = Field(gt=0, lt=1)


class Synthetic(Section):
    n_train_alphabets: int = Field(ge=1)
    n_eval_alphabets: int = Field(ge=1)
    n_test_alphabets: int = Field(ge=1)
    n_characters: int = Field(ge=2)


class SetSize(Section):
    n_jobs: int = Field(ge=1, le=5)
    job_scenes: int = Field(ge=1, le=2000)


class Phase(Section):
    clutter_levels: tuple[ClutterLevel, ...] = Field(min_length=1)
    n_scenes: int = Field(ge=1)


class Training(Section):
    recipe: RecipeName
    feature_maps: int = Field(ge=1)
    n_jobs: int = Field(ge=1, le=1000)
    n_epochs: int | None = Field(ge=1)
    nets: dict[str, tuple[Phase, ...]]


class MaskNetPhases(Section):
    proposals: tuple[Phase, ...] = Field(min_length=1)
    discriminator: tuple[Phase, ...] = Field(min_length=1)


class MaskNetTraining(Section):
    recipe: RecipeName
    n_epochs: int | None = Field(ge=1)
    nets: dict[str, MaskNetPhases | None]


class Evaluate(Section):
    n_scenes: int = Field(ge=2)
    batch_size: int = Field(ge=1)
    n_masknet_scenes: int = Field(ge=2)


NumbersOfLayers = Annotated[
    tuple[float, ...], Field(min_length=1)
]  # or as many as a base of one's own has layers


class PublishedPairs(Section):
    batch_size: int = Field(ge=1)
    lrs: NumbersOfLayers
    momenta: NumbersOfLayers
    l2s: NumbersOfLayers
    patience: int | None = Field(ge=1)


class BackgroundPairs(Section):
    batch_size: int = Field(ge=1)
    lr: float = Field(gt=0)


class EpisodeNumbers(Section):
    lr: float = Field(gt=0)
    n_way: int = Field(ge=2)
    n_shot: int = Field(ge=1)
    n_query: int = Field(ge=1)
    within_alphabets: bool
    turned: bool
    distorted: bool


class OwnEpisodes(EpisodeNumbers):
    weight_decay: float = Field(ge=0)


class ClassificationRecipes(Section):
    published: PublishedPairs
    background: BackgroundPairs
    own: OwnEpisodes
    protonet: EpisodeNumbers


class Classification(Section):
    recipes: ClassificationRecipes
    log_every: int = Field(ge=1)
    checkpoint_seconds: float = Field(ge=0)


class OtherImages(Section):
    least_images: int = Field(ge=1)
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)
    n_way: int = Field(ge=2)
    n_episodes: int = Field(ge=1)
    n_verification_pairs: int = Field(ge=2)


class PairTraining(Section):
    n_pairs: int = Field(ge=2)
    n_copies: int = Field(ge=0)
    n_epochs: int = Field(ge=1)


class EpisodeTraining(Section):
    n_episodes: int = Field(ge=1)
    n_epochs: int = Field(ge=1)


class Classifiers(Section):
    pairs_30000: PairTraining | None
    pairs_90000: PairTraining | None
    pairs_150000: PairTraining | None
    pairs_30000_affine: PairTraining | None
    pairs_90000_affine: PairTraining | None
    pairs_150000_affine: PairTraining | None
    background: PairTraining | None
    own: EpisodeTraining | None
    protonet: EpisodeTraining | None


class ClassificationScale(Section):
    base: str
    nets: Classifiers
    hausdorff: tuple[str, ...]
    reevaluate: tuple[str, ...]


class Scale(Section):
    source: Literal["omniglot", "synthetic"]
    synthetic: Synthetic | None
    render: SetSize
    siamese_unet: Training
    masknet: MaskNetTraining
    evaluate: Evaluate
    reevaluate: Evaluate
    classification: ClassificationScale


class Params(Section):
    """All of params.yaml; ``scale`` is the block that ``scale_name`` chooses."""

    scale_name: str = Field(alias="scale")
    seed: int = Field(ge=0, lt=2**32)
    lr: float | None = Field(gt=0)
    device: Literal["auto", "cpu", "cuda"]
    speed: str
    omniglot: Omniglot
    render: Render
    siamese_unet: SiameseUNet
    masknet: MaskNet
    classification: Classification
    other_images: OtherImages
    scales: dict[str, Scale]

    @property
    def scale(self) -> Scale:
        return self.scales[self.scale_name]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the parameters.

    Raises:
        ParameterError: the file is missing or no YAML, or a value is unknown, missing or out of range.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(
            f"there is no {path} in this folder: run the command at the project's top level."
        ) from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from error
    return check_params(values, str(path))


def check_params(values: Any, name: str = "params.yaml") -> Params:
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        raise ParameterError(f"{name}: {describe(error)}.") from None
    if params.scale_name not in params.scales:
        known = ", ".join(params.scales)
        raise ParameterError(f"{name}: scale is {params.scale_name!r}, which is none of {known}.")
    if params.scale.source == "synthetic" and params.scale.synthetic is None:
        raise ParameterError(
            f"{name}: scales.{params.scale_name}.synthetic is empty, but its source is synthetic."
        )
    return params


def describe(error: ValidationError) -> str:
    """All that is wrong, in one sentence."""
    problems = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        if problem["type"] == "extra_forbidden":
            problems.append(f"{place} is not a known parameter")
        elif problem["type"] == "missing":
            problems.append(f"{place} is missing")
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            problems.append(f"{place} is {problem['input']!r}, but {message}")
    return "; ".join(problems)
