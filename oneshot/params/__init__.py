"""params.yaml, checked: unknown keys, wrong types and impossible values are named in one sentence."""

import copy
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from oneshot.errors import ParameterError, shorten
from oneshot.params.classification import (
    BACKGROUND,
    SIAMESE,
    WITH_VALIDATION,
    ClassificationParams,
    EpisodeNumbers,
)
from oneshot.params.scales import (
    OTHER_PROTOCOLS,
    TRIAL_LISTS,
    Evaluate,
    Omniglot,
    OtherImages,
    Recheck,
    Render,
    Scale,
    Synthetic,
)
from oneshot.params.section import (
    CLASSIFICATION,
    MOST_SEEN,
    SEGMENTATION,
    ScaleName,
    Section,
    describe_problems,
)
from oneshot.params.segmentation import (
    RecipeName,
    SegmentationNetwork,
    SegmentationParams,
    TrainingNumbers,
)

# What `oneshot.training.speed` can turn on.
SPEED_PARTS = ("bf16", "channels_last", "compiled", "cuda_graphs", "fused", "tf32")
# Whatever PyYAML may raise about a text.
UNREADABLE = (
    yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
    RecursionError,
)  # fmt: skip

__all__ = [
    "BACKGROUND",
    "CLASSIFICATION",
    "SEGMENTATION",
    "SIAMESE",
    "WITH_VALIDATION",
    "EpisodeNumbers",
    "Evaluate",
    "OtherImages",
    "Params",
    "Recheck",
    "RecipeName",
    "Scale",
    "Section",
    "SegmentationNetwork",
    "Synthetic",
    "TrainingNumbers",
    "apply_overrides",
    "check_params",
    "describe_problems",
    "load_params",
    "read_values",
]  # fmt: skip


class Loader(yaml.SafeLoader):
    """YAML whose mappings have every key once: PyYAML would keep the last of several values."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read one mapping. Raises ComposerError if a key stands in it twice; merge keys are none."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(None, None, f"{key.value} stands twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node


class Params(Section):
    """Values of params.yaml; ``scale`` is the block that ``scale_name`` chooses."""

    scale_name: ScaleName = Field(alias="scale")
    """Scale, whose block under `scales` and whose amounts of training are in force."""
    seed: int = Field(ge=0, lt=2**32)
    """Seed of what the papers leave to chance: initial weights, the order of scenes, synthetic alphabets."""
    lr: float | None = Field(gt=0, le=10)
    """Learning rate of Siamese-U-Net (Adam's; Muon's is ten times as much); null: the one of its recipe."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """Device of the networks; auto: a GPU of CUDA if there is one, else the CPU."""
    speed: str
    """Parts of the speed overlay, joined by commas; auto: what helps on the device, plain: none (float32)."""
    omniglot: Omniglot
    render: Render
    log_every: int = Field(ge=1, le=MOST_SEEN)
    """Steps between two points of a training curve; classification has one after every epoch, too."""
    checkpoint_seconds: float = Field(ge=0)
    """Seconds between two checkpoints of a training."""
    segmentation: SegmentationParams
    classification: ClassificationParams
    other_images: OtherImages
    scales: dict[ScaleName, Scale] = Field(min_length=3)

    @model_validator(mode="after")
    def check_recipes(self) -> "Params":
        """Check that every network has the recipe by which a scale trains it."""
        for name, network in self.segmentation.networks.items():
            recipes = self.segmentation.recipes[network.recipes]
            for scale, values in self.scales.items():
                recipe = values.segmentation.recipe
                if getattr(network, scale) is not None and recipe not in recipes and len(recipes) != 1:
                    raise ValueError(
                        f"segmentation.recipes.{network.recipes} lacks {recipe!r}, by which scale {scale} "
                        f"trains {name}"
                    )
        return self

    @field_validator("speed")
    @classmethod
    def check_speed(cls, speed: str) -> str:
        if speed not in ("auto", "plain") and not set(speed.split(",")) <= set(SPEED_PARTS):
            raise PydanticCustomError(
                "speed", f"choose auto, plain, or some of {', '.join(SPEED_PARTS)}, joined by commas"
            )
        return speed

    @model_validator(mode="after")
    def check_protocols(self) -> "Params":
        """Check the names of what is scored: an unknown one would be passed over."""
        benchmarks = [*TRIAL_LISTS, f"mixed-{self.other_images.n_way}-way-1-shot"]
        for scale, values in self.scales.items():
            for place, names, known in (
                ("classification.hausdorff", values.classification.hausdorff, benchmarks),
                ("recheck.protocols", values.recheck.protocols, [*benchmarks, *OTHER_PROTOCOLS]),
            ):
                for name in names:
                    if name not in known:
                        raise ValueError(
                            f"scales.{scale}.{place} names {name!r}; there are {', '.join(known)}"
                        )
        return self

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
        return copy.deepcopy(parse_values(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ParameterError(
            f"there is no {path} in this folder: run the command at the project's top level."
        ) from None
    except UNREADABLE as error:
        raise ParameterError(f"{path} is not readable as YAML: {shorten(str(error))}") from error


@lru_cache(maxsize=1)
def parse_values(text: str) -> Any:
    """Parse YAML, in pure Python, which takes a while: once for all commands of a list."""
    return yaml.load(text, Loader)


def apply_overrides(values: Any, overrides: Iterable[str]) -> Any:
    """Give the values with some replaced, each written as DVC's -S takes it: PLACE.OF.KEY=VALUE in YAML.

    Raises:
        ParameterError: an override has no '=', names no known parameter, or its value is no YAML.
    """
    values = copy.deepcopy(values)
    for override in overrides:
        place, equals, text = override.partition("=")
        if not equals:
            raise ParameterError(f"-S {shorten(override)} lacks a value: write it as {shorten(place)}=VALUE.")
        try:
            value = yaml.load(text, Loader)
        except UNREADABLE:
            raise ParameterError(
                f"-S {shorten(override)}: {shorten(repr(text))} is not readable as YAML."
            ) from None
        section, path = values, place.split(".")
        for number, part in enumerate(path):
            if number:
                section = section[key]
            key: Any = int(part) if isinstance(section, list) and part.isdecimal() else part
            known = range(len(section)) if isinstance(section, list) else section
            if not isinstance(section, dict | list) or key not in known:
                unknown = shorten(".".join(path[: number + 1]))
                raise ParameterError(f"-S {shorten(override)}: {unknown} is not a known parameter.")
        section[key] = value
    return values


def check_params(values: Any, name: str = "params.yaml") -> Params:
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ParameterError(f"{name}: {describe_problems(error)}.") from None
