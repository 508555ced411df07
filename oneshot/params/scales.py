"""The sections of params.yaml that no network has of its own: images, sets, evaluation, by scale."""

from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from oneshot.params.section import MOST_FEATURE_MAPS, MOST_IN_A_BATCH, MOST_IN_A_SET, MOST_SEEN, Section

MOST_WORKERS = 1024
# Lists of trials by name; own images and synthetic alphabets have one more, by their N-way.
TRIAL_LISTS = (
    "all_runs", "mnist", "within-alphabet", "within-alphabet-10000",
    "mixed-5-way-1-shot", "mixed-5-way-5-shot", "mixed-20-way-1-shot", "mixed-20-way-5-shot",
    "within-alphabet-5-way-1-shot", "within-alphabet-5-way-5-shot",
    "within-alphabet-20-way-1-shot", "within-alphabet-20-way-5-shot",
    "vinyals-5-way-1-shot", "vinyals-5-way-5-shot", "vinyals-20-way-1-shot", "vinyals-20-way-5-shot",
    "rising-ways", "rising-ways-training",
)  # fmt: skip
# What only networks are scored by.
OTHER_PROTOCOLS = (
    "validation", "selection", "verification", "verification/best-threshold",
    "background-verification/validation", "background-verification/test",
)  # fmt: skip


class Omniglot(Section):
    mirror: str | None
    """Folder or http(s) address with the three archives; OMNIGLOT_MIRROR in the environment wins."""
    mnist_mirror: str | None
    """Folder or http(s) address with MNIST's test set; MNIST_MIRROR in the environment wins."""
    source: str = Field(min_length=1)
    """Images of classification: data/drawings, or a folder of own images with one sub-folder a class."""


class Render(Section):
    n_workers: int = Field(ge=-1, le=MOST_WORKERS)
    """Parts rendered at a time; -1: one for each core."""
    backend: Literal["threads", "dask", "ray"]
    """Where they are rendered: in threads of this process, or on a cluster of Dask or Ray."""
    address: str | None
    """Address of Dask's scheduler or Ray's head; null: a cluster of this machine's cores."""

    @field_validator("n_workers")
    @classmethod
    def refuse_none(cls, n_workers: int) -> int:
        if n_workers == 0:
            raise PydanticCustomError("n_workers", "-1 stands for one for each core")
        return n_workers


class OtherImages(Section):
    least_images: int = Field(ge=2, le=1000)
    """Images that every training class has at least; distorted copies fill up smaller ones."""
    validation_share: float = Field(gt=0, lt=1)
    """Share of alphabets, or of classes where there are fewer than three alphabets, that validate."""
    test_share: float = Field(gt=0, lt=1)
    """Share of alphabets, or of classes, that are tested."""
    n_way: int = Field(ge=2, le=MOST_IN_A_BATCH)
    """Classes of an episode."""
    n_episodes: int = Field(ge=1, le=MOST_SEEN)
    """Episodes of a benchmark."""
    n_verification_pairs: int = Field(ge=2, le=MOST_SEEN)
    """Pairs of the verification test, half of them of one class."""

    @model_validator(mode="after")
    def check_shares(self) -> "OtherImages":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


class AlphabetCounts(Section):
    train: int = Field(ge=1, le=1000)
    """Synthetic alphabets to train on."""
    eval: int = Field(ge=1, le=1000)
    """Synthetic alphabets that validate."""
    test: int = Field(ge=1, le=1000)
    """Synthetic alphabets to test on."""


class Synthetic(Section):
    n_alphabets: AlphabetCounts
    n_characters: int = Field(ge=2, le=1000)
    """Characters of each synthetic alphabet."""


class SetSize(Section):
    n_jobs: int = Field(ge=1, le=5)
    """Jobs of each validation and test set that are rendered, of the five published ones."""
    job_scenes: int = Field(ge=1, le=2000)
    """Scenes of each job that are rendered, of 2,000."""


class SegmentationScale(Section):
    recipe: Literal["published", "fast"]
    """Recipe by which networks are trained, where they have more than one."""
    feature_maps: int = Field(ge=1, le=MOST_FEATURE_MAPS)
    """Feature maps of the networks' first layer; the published networks have 24."""
    n_jobs: int = Field(ge=1, le=1000)
    """Jobs of the training set that are used, of 1,000 with 2,000 scenes each."""


class ClassificationScale(Section):
    base: str
    """Size of the siamese network: koch is the published one, koch_small a smaller one."""
    hausdorff: tuple[str, ...]
    """Lists of trials that the modified Hausdorff distance, which is slow, is scored on."""


class Evaluate(Section):
    n_scenes: int = Field(ge=2, le=MOST_IN_A_SET)
    """Scenes of each test set that are evaluated, the first ones; of covered targets as large a share."""
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    """Scenes evaluated at a time."""
    n_masknet_scenes: int = Field(ge=2, le=MOST_IN_A_SET)
    """Scenes of each test set on which a MaskNet, which decodes each 144 times, is evaluated."""


class Recheck(Evaluate):
    protocols: tuple[str, ...]
    """Lists on which recorded classifiers are scored again."""
    left_out: tuple[str, ...]
    """Recorded networks that are not evaluated again."""


class Scale(Section):
    """The part of a scale that is not of one network."""

    source: Literal["omniglot", "synthetic"]
    """Source of the drawings: Omniglot, or synthetic alphabets that need no download."""
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
