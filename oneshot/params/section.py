"""What all sections of params.yaml have in common, and bounds beyond which a number is a slip."""

from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from oneshot.errors import shorten

ScaleName = Literal["smoke", "laptop", "paper"]
SEGMENTATION = "segmentation"  # the task, and the one training of a network that has one
CLASSIFICATION = "classification"
MOST_IN_A_BATCH = 10_000
MOST_SEEN = 10**9  # scenes, pairs or episodes in a phase or epoch
MOST_EPOCHS = 100_000
MOST_FEATURE_MAPS = 256
MOST_IN_A_SET = 10_000  # scenes of a test set
MOST_SAID = 400  # characters about one problem
MOST_PROBLEMS = 10  # in a message


class Section(BaseModel):
    """Part of the parameters: fixed once read, without unknown keys; YAML's 1e-05 is a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def refuse_truth_values(cls, value: Any, info: Any) -> Any:
        """Refuse true and false for a number, which Python takes for 1 and 0."""
        annotation = cls.model_fields[info.field_name].annotation
        values = value if isinstance(value, list | tuple) else [value]
        if holds_numbers(annotation) and any(isinstance(number, bool) for number in values):
            raise PydanticCustomError("number", "a number is needed")
        return value


def holds_numbers(annotation: Any) -> bool:
    """Say if a type is int or float, or made of them: a union, a tuple, an annotated one."""
    return annotation in (int, float) or any(holds_numbers(part) for part in get_args(annotation))


Amount = TypeVar("Amount", bound=Section)


class AnyNetwork(Section, Generic[Amount]):
    """Network of either task, and how much it is trained; null at a scale: not trained there."""

    net: str
    """Network, by its name in the registry of its task."""
    smoke: Amount | None
    laptop: Amount | None
    paper: Amount | None


def describe_problems(error: ValidationError) -> str:
    """Say all that is wrong, in one sentence."""
    problems = []
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        place = shorten(".".join(part for part in parts if not part.startswith("(") and part != "[key]"))
        place = place or "the file"
        if problem["type"] == "extra_forbidden":
            problems.append(f"{place} is not a known parameter")
        elif problem["type"] == "missing":
            problems.append(f"{place} is missing")
        elif problem["type"] == "value_error":
            within = f"{place}." if parts else ""
            problems.append(shorten(within + problem["msg"].removeprefix("Value error, "), MOST_SAID))
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            problems.append(f"{place} is {quote(problem['input'])}, but {message}")
    if len(problems) > MOST_PROBLEMS:
        problems[MOST_PROBLEMS:] = [f"and {len(problems) - MOST_PROBLEMS} more problems"]
    return "; ".join(problems)


def quote(value: Any) -> str:
    """Give a value as a message can show it, which may be of any length and depth."""
    try:
        return shorten(repr(value))
    except (ValueError, RecursionError):  # more digits, or levels, than Python writes
        return f"too large a {type(value).__name__}"
