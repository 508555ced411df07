"""Checks of a recorded run: its four files are whole, belong together, and are a result to keep."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oneshot.classify.benchmarks import asks_validation_alphabets
from oneshot.params import BACKGROUND, WITH_VALIDATION
from oneshot.published import (
    BACKGROUND_VERIFICATION,
    SELECTION,
    SELECTION_LIST,
    VALIDATION,
    VALIDATION_LIST,
    VERIFICATION,
    read_facts,
)
from oneshot.records.results import SUMMARISE, Scores, load_scores
from oneshot.records.run import (
    CURVE,
    CURVE_COLUMNS,
    FETCH,
    OWN_ANSWER,
    RUN,
    SCORES,
    TEST_SPLITS,
    WEIGHTS,
    ClassificationBody,
    PairProtocol,
    RecordError,
    Run,
    check_revision,
    list_strange_sets,
    load_run,
)

N_TEST_SCENES = 10_000  # of a published test set
TOLERANCE = 1e-9  # of figures: another SciPy may compute the last digits otherwise
# Benchmarks of validation, and what results call them.
SELECTING = {VALIDATION_LIST: VALIDATION, SELECTION_LIST: SELECTION}


def check_run(folder: Path) -> Run:
    """Check all that lies in the folder of a run, before it is adopted.

    Raises:
        RecordError, WeightsError: a file is missing, damaged or of another run, or the run is not of the
            published drawings, scenes and lists.
    """
    run = load_run(folder)
    check_revision(run.git_revision)
    check_published(run, str(folder / RUN))
    load_checked(folder)
    check_curve(folder / CURVE)
    return run


def check_curve(path: Path) -> None:
    """Raise RecordError unless a file is a training curve."""
    if not path.is_file():
        raise RecordError(f"the training curve {path} is missing: fetch it, or record the run again.")
    lines = path.read_bytes().splitlines()
    if not lines or lines[0].decode(errors="replace") != ",".join(CURVE_COLUMNS):
        raise RecordError(f"{path} is no training curve: {FETCH}.")


def load_checked(folder: Path) -> tuple[Run, dict[str, Any]]:
    """Load a run with its scores, after its figures and its weights were checked.

    Raises:
        RecordError, WeightsError: figures or weights are not those of the run.
    """
    run, scores = load_run(folder), load_scores(folder / SCORES)
    check_scores(run, scores, str(folder / RUN))
    check_weights(run, folder)
    return run, scores


def check_scores(run: Run, scores: Scores, name: str) -> None:
    """Raise RecordError unless the run's figures are those of its scores; `name`: the record's."""
    if not run.evaluated:
        raise RecordError(
            f"{name} is of a run that was interrupted before its evaluation: the command that began it goes "
            "on with it."
        )
    if isinstance(run.body, ClassificationBody):
        sizes = {
            protocol: about.n_pairs if isinstance(about, PairProtocol) else about.n_queries
            for protocol, about in run.body.protocols.items()
        }
        check_keys(sizes, scores, f"{name} and its file of scores are of different protocols")
        for protocol, n in sizes.items():
            if scores[protocol].size != n:
                raise RecordError(
                    f"{name} speaks of {n} answers of {protocol}, its file of scores has "
                    f"{scores[protocol].size}."
                )
    found = SUMMARISE[run.task](scores)
    check_keys(run.figures, found, f"{name} and its scores have different figures")
    for key, figure in run.figures.items():
        again = found[key]
        apart = max(abs(getattr(figure, end) - getattr(again, end)) for end in ("value", "low", "high"))
        if figure.n != again.n or not apart < TOLERANCE:
            raise RecordError(
                f"{name} says {figure.value:.6f} of {figure.n} for {key}, but its scores have the mean "
                f"{again.value:.6f} of {again.n}."
            )


def check_keys(said: Mapping[str, Any], found: Mapping[str, Any], complaint: str) -> None:
    if said.keys() != found.keys():
        raise RecordError(f"{complaint} ({', '.join(sorted(said.keys() ^ found.keys()))}).")


def check_weights(run: Run, folder: Path) -> None:
    """Raise RecordError or WeightsError unless the folder's weights are those of the run."""
    from oneshot.training.tensors import file_sha256, load_tensors  # torch takes seconds to load

    path = folder / WEIGHTS
    assert run.weights is not None
    if (found := file_sha256(path)) != run.weights.sha256:
        raise RecordError(
            f"{path} has the SHA-256 {found}, not {run.weights.sha256}, which {RUN} names: it was damaged, "
            "or is of another run."
        )
    about = load_tensors(path)[1]
    said = {"task": about.get("task"), "net": about.get("net")} | about.get("training", {})
    for name in ("task", "net", "recipe", "seed", "n_seen", "n_seen_before"):
        if said.get(name) != getattr(run, name):
            raise RecordError(
                f"{folder / RUN} says {name} {getattr(run, name)}, its weights say {said.get(name)}."
            )


def check_published(run: Run, name: str) -> None:
    """Raise RecordError unless the run is of Omniglot's drawings and the published scenes or lists."""
    published = read_facts("omniglot")["drawings"]["sha256"]
    if run.drawings_sha256 != published:
        raise RecordError(
            f"{name} is of drawings with the SHA-256 {run.drawings_sha256}, not of Omniglot's ({published}): "
            "it is no result to keep."
        )
    if isinstance(run.body, ClassificationBody):
        others, strange = "by other lists", check_protocols(run, run.body, name)
    else:
        others, strange = "on other scenes", list_strange_sets(run.body.test_sets_as_published)
        required = {f"{level}/{split}" for level in run.body.levels for split in TEST_SPLITS}
        strange += sorted(required - run.body.test_sets_as_published.keys())
    if strange:
        raise RecordError(
            f"{name} was evaluated {others} than the published ones ({', '.join(strange)}): it is no result "
            "to keep."
        )
    if not isinstance(run.body, ClassificationBody):
        refuse_few_scenes(run, name)


def refuse_few_scenes(run: Run, name: str) -> None:
    """Raise RecordError unless the run was scored on all scenes of every published test set."""
    for key, figure in run.figures.items():
        _, answer, *split, metric = key.split("/")
        is_own = (answer, metric) == (OWN_ANSWER, "iou") and len(split) == 1 and split[0] in TEST_SPLITS
        if is_own and figure.n < N_TEST_SCENES:
            raise RecordError(
                f"{name} was evaluated on {figure.n:,} of the {N_TEST_SCENES:,} scenes of {split[0]}: "
                "it is no result to keep."
            )


def check_protocols(run: Run, body: ClassificationBody, name: str) -> list[str]:
    """Name the protocols whose lists are not the published ones. Raises RecordError if any is missing."""
    facts = read_facts("episodes")
    sums = {SELECTING.get(key, key): about["sha256"] for key, about in facts["benchmarks"].items()}
    added = {key: about["added"] for key, about in facts["benchmarks"].items() if "added" in about}
    # What can be computed from the drawings alone; lists that were added later are not in older records.
    required = {key for key in sums if run.date > added.get(key, "")}
    if run.recipe == WITH_VALIDATION:
        required = {key for key in required if not asks_validation_alphabets(key)}
        if seen := sorted(key for key in body.protocols if asks_validation_alphabets(key)):
            raise RecordError(f"{name} was scored on alphabets that it was trained on: {', '.join(seen)}.")
    pairs = {key: about["sha256"] for key, about in facts["pairs"].items() if key != "layout"}
    if VERIFICATION not in body.not_computed:
        required.add(VERIFICATION)
    if run.recipe == BACKGROUND:
        required |= {key for key in pairs if key.startswith(BACKGROUND_VERIFICATION)}
    # Of MNIST only the images that are needed are kept, which the list then numbers from 0.
    sums |= pairs | {"all_runs": facts["all_runs"]["sha256"], "mnist": facts["mnist"]["picked_sha256"]}
    if missing := sorted(required - body.protocols.keys()):
        raise RecordError(f"{name} lacks protocols that its drawings suffice for: {', '.join(missing)}.")
    return [protocol for protocol, about in body.protocols.items() if about.sha256 != sums.get(protocol)]
