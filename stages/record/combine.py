"""Combine recorded cosine nets to an ensemble, with no further training, and record that."""

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from oneshot.classify.nets import NETS
from oneshot.classify.nets.cosine_net import CosineNet
from oneshot.classify.nets.ensemble import Ensemble
from oneshot.classify.protocols import draw_once, find_protocols
from oneshot.errors import ParameterError
from oneshot.params import CLASSIFICATION, load_params
from oneshot.records.check import load_checked
from oneshot.records.release import release
from oneshot.records.run import WEIGHTS, RecordError, Run, Start, check_index
from oneshot.training.speed import evaluation_speed
from oneshot.training.tensors import NetworkInfo, load_network
from stages.command import run as run_stage
from stages.places import RECORDED, RUNS
from stages.record.adopt import adopt, describe, place_of, refuse_shared_name, refuse_to_replace
from stages.record.data import find_drawings, refuse_other_drawings
from stages.record.form import describe_place, save_curve, write_run
from stages.record.plan import check_name, common_parser
from stages.record.revision import recorded_revision
from stages.record.run import prepare_evaluation

NETWORK = "ensemble"  # the name by which tables know it, and its net


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.record.combine",
        parents=[common_parser(makes_record=True)],
        description=__doc__,
    )
    add = parser.add_argument
    add("name", help="of the new record")
    add("members", nargs="+", metavar="member", help=f"a run under {RECORDED}/{CLASSIFICATION}")
    add(
        "--copies", type=int, default=0, metavar="N",
        help="distorted copies of each drawing over which a member's codes are averaged (default: none)",
    )  # fmt: skip
    add("--displacement", type=float, default=0.08, help="of these copies, in halves of a side")
    arguments = parser.parse_args(words)
    check_words(arguments)
    revision = recorded_revision(arguments.revision, arguments.allow_dirty)
    check_index(RECORDED)
    place = place_of(CLASSIFICATION, arguments.name)
    if arguments.out is None:
        refuse_shared_name(place)
        if not arguments.replace:
            refuse_to_replace(place)
    params = load_params(overrides=["scale=paper"])
    speed = evaluation_speed(arguments.device or params.device)
    runs, net = combine(arguments.members, arguments.copies, arguments.displacement)
    drawings, _ = find_drawings(arguments.drawings, params.scale, params.seed)
    if arguments.out is None:
        refuse_other_drawings(drawings.sha256())
    folder = arguments.out or RUNS / "combine" / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    protocols = draw_once(find_protocols(drawings, params.other_images))
    outside = arguments.all_runs, arguments.mnist
    evaluator, body = prepare_evaluation(net, runs[0].recipe, protocols, *outside, speed)
    facts = describe_ensemble(arguments.name, runs, net) | describe_place(speed)
    facts |= {"body": body, "git_revision": revision, "drawings_sha256": drawings.sha256()}
    released = release(net, describe_network(facts, net), folder / WEIGHTS, evaluator)
    seconds = time.monotonic() - started
    total = sum(run.seconds.total for run in runs) + seconds
    trainings = [training for run in runs for training in run.trainings]
    save_curve(folder, {})  # that of each member lies in its own record
    run = write_run(folder, facts, trainings, released, {"evaluation": seconds, "total": total})
    if arguments.out is None:
        adopt(folder, replace=arguments.replace)
        shutil.rmtree(folder)
    print(describe(run))


def check_words(arguments: argparse.Namespace) -> None:
    """Raise ParameterError if the name or a number is out of range."""
    check_name("the name", arguments.name)
    if arguments.copies < 0:
        raise ParameterError(f"--copies is {arguments.copies}; it must be at least 0.")
    if not 0 <= arguments.displacement < 1:
        raise ParameterError(
            f"--displacement is {arguments.displacement}; it must be at least 0 and below 1."
        )


def combine(names: Sequence[str], n_copies: int, displacement: float) -> tuple[list[Run], Ensemble]:
    """Load recorded networks, and make an ensemble of them.

    Raises:
        RecordError: one is missing, damaged, no CosineNet, or trained by another recipe than the first.
    """
    runs = [load_checked(place_of(CLASSIFICATION, name))[0] for name in names]
    members = []
    for run in runs:
        if run.net != "cosine_net":
            raise RecordError(f"{run.name} is a {run.net}: an ensemble is made of cosine nets.")
        if run.recipe != runs[0].recipe:
            raise RecordError(
                f"{run.name} was trained by recipe {run.recipe}, {runs[0].name} by {runs[0].recipe}: an "
                "ensemble is of one recipe."
            )
        member, _ = load_network(place_of(CLASSIFICATION, run.name) / WEIGHTS, NETS)
        assert isinstance(member, CosineNet)
        members.append(member)
    net = Ensemble([member.settings for member in members], n_copies, displacement if n_copies else 0.0)
    for place, member in zip(net.members, members, strict=True):
        place.load_state_dict(member.state_dict())
    return runs, net.eval()


def describe_ensemble(name: str, runs: Sequence[Run], net: Ensemble) -> dict[str, Any]:
    """Give the fields of the record that its members decide."""
    first, budgets, members = runs[0], [run.budget_minutes for run in runs], []
    for run in runs:
        assert run.weights is not None
        file = place_of(CLASSIFICATION, run.name) / WEIGHTS
        seen = run.n_seen_before + run.n_seen
        members.append(Start(file=file.as_posix(), sha256=run.weights.sha256, n_seen=seen))
    return {
        "task": CLASSIFICATION,
        "name": name,
        "network": NETWORK,
        "net": NETWORK,
        "recipe": first.recipe,
        "settings": net.settings | {"members": [run.name for run in runs]},
        "seed": first.seed,
        "scale": first.scale,
        "start_from": None,
        "members": members,
        "budget_minutes": None if None in budgets else sum(filter(None, budgets)),
        "n_processes": 1,
        "n_parameters": sum(parameter.numel() for parameter in net.parameters()),
    }


def describe_network(facts: Mapping[str, Any], net: Ensemble) -> NetworkInfo:
    """Describe the ensemble in its file of weights."""
    training = {name: facts[name] for name in ("name", "recipe", "seed", "scale")}
    seen = sum(member.n_seen for member in facts["members"])
    return NetworkInfo(CLASSIFICATION, NETWORK, net.settings, training | {"n_seen": seen, "n_seen_before": 0})


if __name__ == "__main__":
    run_stage(main)
