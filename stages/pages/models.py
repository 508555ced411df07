"""docs/models.md: a card for every recorded network, from its record."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oneshot.params import CLASSIFICATION, SEGMENTATION
from oneshot.records.run import WEIGHTS, Run, Training
from oneshot.report.headlines import BENCHMARKS
from oneshot.report.rows import sort_runs
from oneshot.report.runs import describe_run
from oneshot.report.segmentation_tables import METRIC_TITLES, SPLIT_TITLES, title_net
from oneshot.report.tables import format_mean, join_words
from stages.pages.parameters import lay_left

MODELS_INTRODUCTION = """\
# Model cards

Written by `python -m stages.pages` from `recorded/*/*/run.json`; do not edit.

A card for every network that this project releases. [Results](results.md) compares them with published
figures, [Recorded runs](recording.md) says what a record holds and how to make one. In a checkout, all
networks load by their names, checked against the SHA-256 in their records:

```python
from oneshot.library import list_classifiers, list_networks, load_classifier, load_network

for name in list_networks():
    net, info = load_network(name)
for name in list_classifiers():
    scorer, info = load_classifier(name)  # with encode and compare: oneshot.classify.scoring.Scorer
```
"""
FOR_ALL = """\
## What holds for all of them

- **Intended use**: research and teaching about learning from one example, and comparison with other methods
  on Omniglot and Cluttered Omniglot.
- **Limits**: they have seen Omniglot's drawings alone, 105 x 105 pixels, by 10 drawers of each alphabet
  (segmentation), 12 (classifiers trained on pairs) or 20 (on episodes). Nothing is known of photographs, of
  scanned handwriting or of other pens. They are not made to identify a person by handwriting, nor
  for any decision about people.
- **Training data**: the 30 background alphabets, see the [data card](data_card.md). Weights of classifiers
  are chosen by trials on ten evaluation alphabets, but for recipes `background` and `contrastive_40`, which
  keep the last ones; `contrastive_40` trains on those ten, too. All figures but those of *known
  characters* are of alphabets that were not trained on; *mixed alphabets* and *Vinyals' split* have
  characters of the ten that chose, too.
- **Figures** are of the released file in plain float32, with 95 % intervals over n scenes or trials.
- **Licence**: {licence}, of code and weights alike.
"""
LIMITS = {
    SEGMENTATION: (
        "**Limits of segmentation**: scenes are synthetic, characters flat in colour on black, and the "
        "target of the published sets, which is drawn last, is never covered. With much clutter small "
        "networks find nothing: see the figures. A colour matcher groups pixels by equal colour and is lost "
        "wherever colours are not flat."
    ),
    CLASSIFICATION: (
        "**Limits of classification**: drawings are black ink on white paper, one character each; an answer "
        "is always one of the classes that were shown, even where none is right."
    ),
}
USES = {SEGMENTATION: "load_network", CLASSIFICATION: "load_classifier"}


def write_models(runs: Mapping[str, Iterable[Run]], recorded: Path, licence: str) -> str:
    """Write the page; runs: by task; recorded: the folder with their weights."""
    paragraphs = [MODELS_INTRODUCTION, FOR_ALL.format(licence=licence)]
    for task, of_task in runs.items():
        paragraphs += [f"## {task.capitalize()}", LIMITS[task]]
        for run in sort_runs(of_task):
            lines = [list(line) for line in describe_card(run, recorded / task / run.name / WEIGHTS)]
            paragraphs += [f"### {run.name}", lay_left(("", ""), lines)]
    return "\n\n".join(paragraph.strip() for paragraph in paragraphs) + "\n"


def describe_card(run: Run, weights: Path) -> Iterator[tuple[str, str]]:
    """List the lines of a card: what each is about, and what the record says of it."""
    row = describe_run(run, None)
    assert run.weights is not None
    yield "network", f"{join_words(title_net(run.net), row['size'])}; {run.n_parameters:,} parameters"
    yield "architecture", describe_architecture(run)
    for training in run.trainings:
        yield f"training: {training.name}", describe_training(training)
    if run.start_from:
        yield "begun from", f"`{run.start_from.file}`, which had seen {run.start_from.n_seen:,}"
    if run.members:
        yield "members", ", ".join(f"`{Path(member.file).parent.name}`" for member in run.members)
    minutes = f"{row['training_minutes']:.1f} minutes of training, {row['whole_minutes']:.1f} in all"
    budget = f", of a budget of {run.budget_minutes:g}" if run.budget_minutes else ""
    yield "budget", f"{minutes}{budget}; {'complete' if run.complete else 'stopped early'}"
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items() if number)
    yield "hardware", f"{run.machine}, {run.n_processes} process{'es' * (run.n_processes > 1)}; {versions}"
    yield "recipe, seed", f"`{run.recipe}`, {run.seed}"
    yield "drawings", f"SHA-256 `{run.drawings_sha256}`"
    yield "revision, date", f"`{run.git_revision}`, {run.date}"
    yield from describe_figures(run)
    size = weights.stat().st_size / 2**20
    lost = row["most_lost_points"]
    costs = f"rounding costs at most {lost:.2f} points" if lost >= 0.005 else "rounding costs nothing"
    yield "weights", f"{run.weights.precision}, {size:.1f} MiB; {costs}"
    yield "SHA-256 of weights", f"`{run.weights.sha256}`"
    yield "load", f'`{USES[run.task]}("{run.name}")`'


def describe_architecture(run: Run) -> str:
    """Say what the network is, in the words of its class."""
    if run.task == SEGMENTATION:
        from oneshot.segment.nets import NETS as OF_SEGMENTATION  # loads PyTorch, as the other

        net: type = OF_SEGMENTATION[run.net]
    else:
        from oneshot.classify.nets import NETS as OF_CLASSIFICATION

        net = OF_CLASSIFICATION[run.net]
    words = " ".join((inspect.getdoc(net) or "").partition("\n\n")[0].split())
    return f"`{net.__module__}.{net.__qualname__}`: {words}"


def describe_training(training: Training) -> str:
    """Say what a training saw, and by which numbers."""
    numbers = {name: value for name, value in training.settings.items() if value is not None}
    phases = numbers.pop("phases", None)
    unit = training.name if training.name in ("pairs", "episodes") else "scenes"
    words = f"{training.n_seen:,} {unit} in {training.n_steps:,} steps"
    if phases:
        parts = [
            f"{phase['n_scenes']:,} with {', '.join(map(str, phase['clutter_levels']))} characters"
            for phase in phases
        ]
        words += f" ({'; then '.join(parts)})"
    return f"{words}; {', '.join(f'{name} {show_setting(value)}' for name, value in numbers.items())}"


def show_setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def describe_figures(run: Run) -> Iterator[tuple[str, str]]:
    """List the figures of a network's own answers, a line a test set; of classification the README's."""
    if run.task == CLASSIFICATION:
        found = {each.title: run.figures[name] for name, each in BENCHMARKS.items() if name in run.figures}
        cells = [
            f"{title}: {format_mean(asdict(figure))}, n = {figure.n:,}" for title, figure in found.items()
        ]
        yield "accuracy in %", "<br>".join(cells)
        return
    for metric, title in METRIC_TITLES.items():
        for split, words in SPLIT_TITLES.items():
            cells = []
            for level in run.segmentation.levels:
                figure = run.figures[f"{level}/answer/{split}/{metric}"]
                cells.append(f"{level}: {format_mean(asdict(figure))}")
            yield f"{title} in %, {words}, n = {figure.n:,}", "<br>".join(cells)
