"""Write the pages anew: after an edit of params.yaml or of published facts, and after a new record."""

import json
from pathlib import Path
from typing import get_args

import yaml

from oneshot.files import write_text
from oneshot.params import read_values
from oneshot.records.run import Task, read_runs
from stages.command import run
from stages.pages.croissant import describe_data
from stages.pages.data_card import write_data_card
from stages.pages.models import write_models
from stages.pages.parameters import write_parameters
from stages.places import RECORDED


def main() -> None:
    for path, text in write_pages().items():
        write_text(path, text)


def write_pages() -> dict[Path, str]:
    """Write all pages, by their paths."""
    citation = yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))
    runs = {task: read_runs(RECORDED, task) for task in get_args(Task)}
    return {
        Path("docs/croissant.json"): json.dumps(describe_data(citation), indent=1) + "\n",
        Path("docs/data_card.md"): write_data_card(),
        Path("docs/models.md"): write_models(runs, RECORDED, citation["license"]),
        Path("docs/parameters.md"): write_parameters(read_values()),
    }


if __name__ == "__main__":
    run(main, __doc__)
