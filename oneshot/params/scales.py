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
    mnist_mirror: str | None
    source: str = Field(min_length=1)


class Render(Section):
    n_workers: int = Field(ge=-1, le=MOST_WORKERS)
    backend: Literal["threads", "dask", "ray"]
    address: str | None

    @field_validator("n_workers")
    @classmethod
    def refuse_none(cls, n_workers: int) -> int:
        if n_workers == 0:
            raise PydanticCustomError("n_workers", "-1 stands for one for each core")
        return n_workers


class OtherImages(Section):
    least_images: int = Field(ge=1, le=1000)
    validation_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)
    n_way: int = Field(ge=2, le=MOST_IN_A_BATCH)
    n_episodes: int = Field(ge=1, le=MOST_SEEN)
    n_verification_pairs: int = Field(ge=2, le=MOST_SEEN)

    @model_validator(mode="after")
    def check_shares(self) -> "OtherImages":
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


class AlphabetCounts(Section):
    train: int = Field(ge=1, le=1000)
    eval: int = Field(ge=1, le=1000)
    test: int = Field(ge=1, le=1000)


class Synthetic(Section):
    n_alphabets: AlphabetCounts
    n_characters: int = Field(ge=2, le=1000)


class SetSize(Section):
    n_jobs: int = Field(ge=1, le=5)
    job_scenes: int = Field(ge=1, le=2000)


class SegmentationScale(Section):
    recipe: Literal["published", "fast"]
    feature_maps: int = Field(ge=1, le=MOST_FEATURE_MAPS)
    n_jobs: int = Field(ge=1, le=1000)


class ClassificationScale(Section):
    base: str
    hausdorff: tuple[str, ...]


class Evaluate(Section):
    n_scenes: int = Field(ge=2, le=MOST_IN_A_SET)
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    n_masknet_scenes: int = Field(ge=2, le=MOST_IN_A_SET)


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
