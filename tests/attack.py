"""Attack on the pipeline: stages killed, files damaged, parameters without sense, disk and memory refused.

`python -m tests.attack` runs scale smoke in a clone and attacks copies of it, each time one stage in one way.
Counts of how it held go to docs/attack.md. What must not be: a result that differs without a word, a
traceback, a file left half written.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from tqdm import tqdm

from oneshot.files import write_text
from tests.conftest import ROOT
from tests.test_pipeline import PARAMS, STAGES, list_paths

PAGE = ROOT / "docs/attack.md"
LIMIT = 600  # seconds for a stage, after which it hangs
LONGEST = 600  # characters of one sentence
TIMES = {"seconds", "seconds_waiting", "training", "waiting", "evaluation", "total", "date"}
REFUSED, SAME, WENT_ON, ACCEPTED = "one sentence", "same result", "went on, same result", "accepted"
FINE = (REFUSED, SAME, WENT_ON, ACCEPTED)
CODE = (".py", ".pyc", ".nbc", ".nbi")  # and Python's and numba's caches
Found = Iterator[tuple[str, str]]  # in what way, and how it ended


# ----------------------------------------------------------------------------- a pipeline to attack


@dataclass(frozen=True)
class Clones:
    """A pipeline that has run, and the copy of it that is attacked."""

    whole: Path
    attacked: Path

    def copy(self) -> Path:
        remove(self.attacked)
        shutil.copytree(self.whole, self.attacked, symlinks=True, copy_function=copy_file)
        return self.attacked


def copy_file(source: str, target: str) -> None:
    """Copy a file; link what no stage writes, of which there are hundreds of MB."""
    if {".git", "recorded"} & {*Path(target).parts}:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def build(folder: Path) -> None:
    """Clone this checkout, and run all of scale smoke in the clone."""
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("\nscale: laptop", "\nscale: smoke", 1))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, env=environment(), check=True)
    shutil.rmtree(folder / ".dvc/cache")


def environment() -> dict[str, str]:
    here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # DVC calls python
    return os.environ | here | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


def stages_at_smoke() -> list[str]:
    """List the stages that do something at scale smoke."""
    networks = {**PARAMS["segmentation"]["networks"], **PARAMS["classification"]["networks"]}
    return [name for name in STAGES if "@" not in name or networks[name.split("@")[1]]["smoke"] is not None]


def outputs(stage: str) -> dict[str, bool]:
    """List a stage's outputs, and whether DVC leaves them where they are when the stage starts."""
    paths = list_paths(STAGES[stage], "outs", "metrics")
    return {path: bool(options.get("persist")) for path, options in paths.items()}


def start(folder: Path, stage: str, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start a stage's command as DVC does, which removes its outputs first."""
    for path, stays in outputs(stage).items():
        if not stays:
            remove(folder / path)
    command = [sys.executable, *STAGES[stage]["cmd"].split()[1:]]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=limit,
    )  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    errors: str

    @property
    def verdict(self) -> str | None:
        """What this alone says; None: it succeeded, so that its outputs decide."""
        last = "".join(self.errors.strip().splitlines()[-1:])
        if "Traceback (most recent call last)" in self.errors:
            return f"TRACEBACK {last}"
        if self.status == 0:
            return None
        said = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        if self.status == 1 and said == [last] and len(last) <= LONGEST:
            return REFUSED
        return f"SILENT {self.status} {self.errors[-200:]}"


def finish(process: subprocess.Popen[str]) -> Ended:
    try:
        _, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Ended(-1, f"longer than {LIMIT} s")
    return Ended(process.returncode, errors)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def judge(ended: Ended, clones: Clones, stage: str, good: str = SAME) -> str:
    """Say how it held: by what is left, how it ended, and what differs in its outputs, times apart."""
    parts = [path.relative_to(clones.attacked) for path in clones.attacked.rglob("*.partial")]
    left = [path.as_posix() for path in parts if path.parts[0] != "runs"]
    if left:
        return f"LEFT {left}"
    if ended.verdict:
        return ended.verdict
    for path in outputs(stage):
        there, here = files_of(clones.whole / path), files_of(clones.attacked / path)
        if there.keys() != here.keys():
            return f"DIFFERENT {path}: {sorted(there.keys() ^ here.keys())}"
        for name, file in there.items():
            if content(file) != content(here[name]):
                return f"DIFFERENT {path}/{name}"
    return good


def files_of(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {"": path}
    return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}


def content(path: Path) -> Any:
    """Read what must be the same in every run: not times."""
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
        return table.drop(columns=[name for name in table if name in TIMES]).to_csv()
    # The page shows times, too; its figures are those of the tables, which are compared.
    return None if path.suffix == ".md" else path.read_bytes()


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list) else value


# ----------------------------------------------------------------------------- the attacks


def kill_stages(clones: Clones, n: int, chance: random.Random) -> Found:
    """Kill a stage at any moment, and run it again."""
    stages = stages_at_smoke()
    seconds: dict[str, float] = {}
    for number in range(n):
        stage = stages[number % len(stages)]
        if stage not in seconds:
            folder, begun = clones.copy(), time.monotonic()
            finish(start(folder, stage))
            seconds[stage] = time.monotonic() - begun
        folder = clones.copy()
        process = start(folder, stage)
        time.sleep(chance.uniform(0, seconds[stage]))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        verdict = judge(finish(start(folder, stage)), clones, stage, WENT_ON)
        yield stage, verdict if verdict == WENT_ON else f"NOT WHOLE {verdict}"


def data_files(folder: Path, stage: str) -> list[Path]:
    """List the files that a stage reads and that are not code."""
    found: set[Path] = set()
    for path in [*list_paths(STAGES[stage], "deps"), "data/drawings", "data/scenes", "recorded"]:
        files = [folder / path] if (folder / path).is_file() else [*(folder / path).rglob("*")]
        found |= {file.relative_to(folder) for file in files if file.is_file() and file.suffix not in CODE}
    return sorted(found)


DAMAGES = (
    "empty", "cut", "garbage", "{}", "[]", "null", "missing", "a folder", "a bit flipped", "a byte more",
    "another file's content",
)  # fmt: skip


def damage(path: Path, how: str, chance: random.Random) -> None:
    """Damage one file in a named way."""
    data = path.read_bytes() or b"\0"
    place = chance.randrange(len(data))
    others = sorted(other for other in path.parent.rglob(f"*{path.suffix}") if other.is_file())
    other = chance.choice([other for other in others if other != path] or [path])
    contents = {
        "empty": b"", "cut": data[: len(data) // 2], "garbage": chance.randbytes(max(100, len(data))),
        "{}": b"{}", "[]": b"[]", "null": b"null", "a byte more": data + b"x",
        "a bit flipped": data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
        "another file's content": other.read_bytes(),
    }  # fmt: skip
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(contents[how])


def damage_files(clones: Clones, n: int, chance: random.Random) -> Found:
    """Damage one file that a stage reads, and run the stage."""
    stages = stages_at_smoke()
    for number in range(n):
        stage, how = stages[number % len(stages)], DAMAGES[number % len(DAMAGES)]
        files = data_files(clones.whole, stage)
        # A folder first: else the many parts of scenes would be nearly all that is damaged.
        within = chance.choice(sorted({file.parent for file in files}))
        file = chance.choice([file for file in files if file.parent == within])
        folder = clones.copy()
        damage(folder / file, how, chance)
        verdict = judge(finish(start(folder, stage)), clones, stage)
        yield how, verdict if verdict in FINE else f"{verdict} [{stage}: {file}]"


LIMITS = {
    "files of 20 kB at most": (resource.RLIMIT_FSIZE, 20_000),
    "8 open files at most": (resource.RLIMIT_NOFILE, 8),
    "1 GiB of addresses at most": (resource.RLIMIT_AS, 2**30),
}


def limit_stages(clones: Clones) -> Found:
    """Run every stage with too little disk, files or memory."""
    for stage in stages_at_smoke():
        for name, (kind, most) in LIMITS.items():
            folder = clones.copy()
            ended = finish(start(folder, stage, partial(resource.setrlimit, kind, (most, most))))
            verdict = judge(ended, clones, stage)
            yield name, verdict if verdict in FINE else f"{verdict} [{stage}]"


def run_twice(clones: Clones) -> Found:
    """Run every stage twice at once in one folder."""
    for stage in stages_at_smoke():
        folder = clones.copy()
        both = [start(folder, stage), start(folder, stage)]
        verdicts = [judge(ended, clones, stage) for ended in map(finish, both)]
        bad = [verdict for verdict in verdicts if verdict not in FINE]
        yield "two at once", f"{bad[0]} [{stage}]" if bad else verdicts[-1]


VALUES: tuple[Any, ...] = (
    None, True, "many", "", -1, 0, 1e30, 10**12, float("nan"), [], {}, [4, 4], "../x", 0.5,
)  # fmt: skip
PLAN_ALL = """
from oneshot.params import CLASSIFICATION, SEGMENTATION, load_params
from stages.command import run

def plan():
    from oneshot.classify import training as classify
    from oneshot.segment import training as segment
    params = load_params()
    for task, module in ((SEGMENTATION, segment), (CLASSIFICATION, classify)):
        for name in params.networks_of(task):
            if params.amount_of(task, name) is not None:
                module.plan_training(params, name)

run(plan)
"""


def change_parameters(clones: Clones, n: int, chance: random.Random) -> Found:
    """Replace or delete one value of params.yaml, and plan all trainings."""
    text = (clones.whole / "params.yaml").read_text()
    for number in range(n):
        values = yaml.safe_load(text)
        section, key = chance.choice(list_places(values))
        if number % 5 == 0:
            what = "deleted"
            del section[key]
        else:
            what = repr(VALUES[number % len(VALUES)])
            section[key] = VALUES[number % len(VALUES)]
        (clones.attacked / "params.yaml").write_text(yaml.safe_dump(values))
        process = subprocess.Popen(
            [sys.executable, "-c", PLAN_ALL], cwd=clones.attacked, env=environment(), stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        verdict = finish(process).verdict or ACCEPTED
        yield "any value", verdict if verdict in FINE else f"{verdict} [{key}: {what}]"


def list_places(value: Any) -> list[tuple[Any, Any]]:
    """List the section and key of every value, sections among them."""
    keys = [*value] if isinstance(value, dict) else [*range(len(value))] if isinstance(value, list) else []
    return [found for key in keys for found in ((value, key), *list_places(value[key]))]


# ----------------------------------------------------------------------------- the page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=str(__doc__).split("\n")[0])
    for name, number in (("kills", 50), ("faults", 200), ("mutations", 100), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--no-limits", action="store_true", help="leave out limits, and two stages at once")
    arguments = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as place:
        clones = Clones(Path(place, "whole"), Path(place, "attacked"))
        build(clones.whole)
        chance = random.Random(arguments.seed)
        attacks = {
            "a stage killed and run again": kill_stages(clones, arguments.kills, chance),
            "a file damaged": damage_files(clones, arguments.faults, chance),
            "a parameter changed": change_parameters(clones, arguments.mutations, chance),
        }
        if not arguments.no_limits:
            attacks |= {"resources limited": limit_stages(clones), "started twice": run_twice(clones)}
        names = ("kills", "faults", "mutations", "seed")
        options = "".join(f" --{name} {getattr(arguments, name)}" for name in names)
        bad = run_attacks(attacks, counts, options)
    sys.exit(1 if bad else 0)


def run_attacks(attacks: dict[str, Found], counts: Counter[tuple[str, str, str]], options: str) -> int:
    """Count how each attack ended, writing the page after each, and give how many did not hold."""
    bad = 0
    missing = [*attacks]
    for attack, found in attacks.items():
        for what, verdict in tqdm(found, attack):
            counts[attack, what, verdict if verdict in FINE else verdict.split()[0]] += 1
            if verdict not in FINE:
                bad += 1
                tqdm.write(f"{attack}, {what}: {verdict}")
        missing.remove(attack)
        write_page(counts, options, missing)  # now, since all of them take hours on a busy machine
    return bad


LEGEND = (
    "*One sentence*: the command stopped with a line that says what is wrong. *Same result*: it ended well, "
    "with the results of an undisturbed run. *SILENT*: it failed without a word. *TRACEBACK*: with one. "
    "`[]`, `{}`, `null`: what the file held instead."
)


def write_page(counts: Counter[tuple[str, str, str]], options: str, missing: list[str]) -> None:
    lines = ["| attack | in what way | how it ended | times |", "|---|---|---|---:|"]
    lines += [f"| {attack} | {what} | {end} | {n} |" for (attack, what, end), n in sorted(counts.items())]
    head = f"# How the pipeline holds\n\nWritten by `python -m tests.attack{options}`, at scale smoke.\n\n"
    head += f"{LEGEND}\n\n"
    head += f"Not finished: {', '.join(missing)}.\n\n" if missing else ""
    write_text(PAGE, head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
