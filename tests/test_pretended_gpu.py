"""What a GPU runs, on a pretended one (tests/pretended_gpu.py), beside the same on a CPU.

Every loss, feed, evaluation, scorer, checkpoint and recorder.
"""

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oneshot.classify import training as classification
from oneshot.classify.nets import NETS as CLASSIFIERS
from oneshot.classify.protocols import Protocols, find_protocols
from oneshot.classify.scoring import (
    BEST_THRESHOLD,
    VALIDATION,
    VERIFICATION,
    NetworkScorer,
    find_pairs,
    score_everything,
)
from oneshot.clutter.scenes import Scenes
from oneshot.omniglot.drawings import Drawings, save_drawings
from oneshot.segment import training as segmentation
from oneshot.segment.batches import PixelStatistics, decode
from oneshot.segment.evaluate import evaluate_answers, segment
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.nets import NETS
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.training import fit, measure
from oneshot.training.fit import train_step
from oneshot.training.progress import Trained
from oneshot.training.speed import Speed, choose_speed
from stages.record import main
from tests.classify.test_protocols import SIZES
from tests.classify.test_training import NETWORKS
from tests.classify.test_training import plan as plan_classification
from tests.conftest import ROOT
from tests.fake_runs import Tiny
from tests.fake_scenes import fake_scenes
from tests.first_steps import MATCHING_WEIGHTS, RATES
from tests.pretended_gpu import PretendedGPU, pretending_gpu
from tests.segment.test_training import FakeTrainingSet, make_plan
from tests.stages.test_record import SMALL
from tests.tiny_masknet import make_masknet
from tests.training.test_speed import coded_with_others

PARTS = "channels_last,fused"  # of the overlay, without compilation; bfloat16 would need looser comparisons
STATISTICS = PixelStatistics(20.0, 50.0)
N_JOB_SCENES = 12
SCORED = ("within-alphabet", "rising-ways", VALIDATION, VERIFICATION, BEST_THRESHOLD)


@pytest.fixture
def gpu() -> Iterator[PretendedGPU]:
    with pretending_gpu() as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIERS, "tiny", Tiny)
        patch.setattr(measure, "WARM_UP_STEPS", 1)
        patch.setattr(measure, "STEPS_A_READING", 1)
        yield


MISTAKES: dict[str, Callable[[torch.Tensor], Any]] = {
    "a tensor made without device=": lambda x: x + torch.ones(3),
    "tensors of two devices joined": lambda x: torch.cat([x, torch.ones(3)]),
    "numpy() of a GPU's tensor": lambda x: x.numpy(),
    "a CPU's generator": lambda x: torch.rand(3, generator=torch.Generator(), device=x.device),
    "pinning a GPU's tensor": lambda x: x.pin_memory(),
    "item() in a step": lambda x: x.sum().item(),
    "choosing by truth values": lambda x: x[x > 0],
    "a tensor made of Python's numbers": lambda x: torch.tensor([1.0], device=x.device),
    "a copy from memory that is not pinned": lambda x: torch.ones(3).to(x.device, non_blocking=True),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_usual_mistakes_are_caught(name: str, gpu: PretendedGPU) -> None:
    x = torch.ones(3, device="cuda")
    assert x.is_cuda
    assert not (x * 2 + x.mean()).sum().cpu().is_cuda
    gpu.waits.clear()
    with suppress(RuntimeError, TypeError):
        MISTAKES[name](x)
        assert [where.split(":")[0] for _, where in gpu.waits] == ["test_pretended_gpu.py"]


SEGMENTATIONS = {
    ("siamese_unet", "published"): {"segmentation": 0.0},
    ("siamese_unet", "fast"): {"segmentation": 0.1},
    ("masknet", "published"): {"proposals": 0.0, "discriminator": 0.0},
    ("masknet", "fast"): {"proposals": 0.1, "discriminator": 0.0},
    ("colour_matcher", "own"): {"segmentation": 0.0},
}


def train_segmentation(net: str, recipe: str, folder: Path, speed: Speed, **settings: Any) -> Trained:
    """Train both trainings of a MaskNet, the one of others, for six steps."""
    trainings = [
        segmentation.PlannedTraining(
            name, SegmentationRecipe(recipe, 1e-3, 4, weight, trained_before=net == "masknet"),
            (Phase((4, 8), 24),),
        )
        for name, weight in SEGMENTATIONS[net, recipe].items()
    ]  # fmt: skip
    start = {"net": make_masknet()} if net == "masknet" else {}
    plan = make_plan(trainings, net=net, recipe=recipe, log_every=2)
    return segmentation.train(plan, FewScenes(), folder=folder, speed=speed, **start, **settings)


class SmallJobs(SceneFeed):
    """The feed, of jobs of next to no scenes."""

    def __init__(self, *words: Any, **settings: Any) -> None:
        super().__init__(*words, n_job_scenes=N_JOB_SCENES, **settings)


class FewScenes(FakeTrainingSet):
    """Such jobs."""

    def render_job(self, level: int, job: int, covered_share: float = 0.0) -> Scenes:
        return fake_scenes(N_JOB_SCENES, level, seed=job)


def watch_steps(gpu: PretendedGPU, monkeypatch: pytest.MonkeyPatch) -> None:
    """See to it that no step of a training waits for the GPU."""

    def watched(*words: Any) -> torch.Tensor:
        n_before = len(gpu.waits)
        loss = train_step(*words)
        assert gpu.waits[n_before:] == []
        return loss

    monkeypatch.setattr(fit, "train_step", watched)


def losses_of(trained: Trained) -> list[float]:
    assert trained.complete
    return [point.loss for report in trained.trainings for point in report.curve]


@pytest.mark.parametrize(("net", "recipe"), SEGMENTATIONS)
def test_networks_for_segmentation_learn_what_they_do_on_a_cpu(
    net: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "SceneFeed", SmallJobs)
    expected = losses_of(train_segmentation(net, recipe, tmp_path / "cpu", choose_speed("cpu", PARTS)))
    asked = iter([False] * 2 + [True])
    with pretending_gpu() as gpu:
        watch_steps(gpu, monkeypatch)
        speed = choose_speed("auto", PARTS)
        train_segmentation(net, recipe, tmp_path / "gpu", speed, stop=lambda: next(asked, True))
        found = losses_of(train_segmentation(net, recipe, tmp_path / "gpu", speed))
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("net", NETS)
def test_answers_are_those_of_a_cpu(net: str, gpu: PretendedGPU) -> None:
    scenes = fake_scenes(5, 4, seed=1)
    of_net = make_masknet() if net == "masknet" else NETS[net](2).initialise(np.random.default_rng(0))
    speed = choose_speed("cuda", PARTS)
    found = evaluate_answers(of_net, scenes, STATISTICS, batch_size=2, speed=speed)
    masks = segment(of_net, scenes, STATISTICS, batch_size=2, speed=speed)
    expected = evaluate_answers(of_net, scenes, STATISTICS, batch_size=2)
    assert found.keys() == expected.keys()
    for name, answers in expected.items():
        np.testing.assert_allclose(found[name].iou, answers.iou, atol=1e-3)
    np.testing.assert_array_equal(masks, segment(of_net, scenes, STATISTICS, batch_size=2))


@pytest.fixture(scope="module")
def protocols(synthetic_drawings: Drawings) -> Protocols:
    return find_protocols(synthetic_drawings, SIZES)


CLASSIFICATIONS = ("pairs_30000_affine", "own", "contrastive", "protonet")


@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_classifiers_learn_and_answer_what_they_do_on_a_cpu(
    name: str, protocols: Protocols, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = NETWORKS[name].recipe
    few = ["n_way=4", "n_query=2"] if name in ("own", "contrastive", "protonet") else []
    plan = plan_classification(
        name, "log_every=1", *(f"classification.recipes.{recipe}.{one}" for one in few)
    )
    speed = choose_speed("cpu", PARTS)
    expected = classification.train(plan, protocols, folder=tmp_path / "cpu", speed=speed)
    scorer = NetworkScorer(expected.net, speed)
    pairs = find_pairs(scorer, protocols, recipe)
    right = score_everything(scorer, protocols, {}, pairs, SCORED)
    asked = iter([True])
    with pretending_gpu() as gpu:
        watch_steps(gpu, monkeypatch)
        speed = classification.choose_plan_speed("cuda", PARTS, plan)
        for stop in (lambda: next(asked, False), lambda: False):
            found = classification.train(plan, protocols, folder=tmp_path / "gpu", speed=speed, stop=stop)
        hits = score_everything(NetworkScorer(expected.net, speed), protocols, {}, pairs, SCORED)
    assert losses_of(found) == pytest.approx(losses_of(expected), abs=2e-3)
    assert hits.keys() == right.keys()
    for of_name, answers in right.items():
        assert (hits[of_name] != answers).mean() <= 0.02, of_name


@pytest.mark.parametrize("task", SMALL)
def test_a_run_is_recorded(
    task: str,
    gpu: PretendedGPU,
    tmp_path: Path,
    synthetic_drawings: Drawings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    save_drawings(tmp_path / "drawings.npz", synthetic_drawings)
    monkeypatch.setattr(main, "STARTED", time.monotonic())  # else minutes count from the first test's imports
    monkeypatch.setattr(segmentation, "MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(classification, "MEASURED_AT_MOST", 0.0)
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    command = SMALL[task].replace("--device cpu", "--device cuda")
    main.main([*shlex.split(command), "--out", "run", "--stop-after", "5"])
    record = json.loads(Path("run/run.json").read_text())
    assert record["device"] == "pretended GPU"
    assert record["speed"] == record["trainings"][-1]["settings"]["speed"]
    assert {"bf16", "channels_last", "fused"} <= set(record["speed"])


@pytest.mark.parametrize("recipe", RATES)
def test_a_step_waits_for_nothing(recipe: str, gpu: PretendedGPU) -> None:
    speed = choose_speed("cuda", PARTS)
    loss = speed.place(
        SegmentationLoss(SiameseUNet(2).initialise(np.random.default_rng(0)), MATCHING_WEIGHTS[recipe])
    )
    of_recipe = SegmentationRecipe(recipe, RATES[recipe], 8, MATCHING_WEIGHTS[recipe])
    optimizers = of_recipe.optimizers(loss, speed.fused)
    coded, which = coded_with_others().to("cuda"), torch.arange(8, device="cuda")
    gpu.waits.clear()
    for _ in range(2):
        with speed.running():
            train_step(loss, decode(coded, which, STATISTICS, speed.memory_format), optimizers, speed)
    assert gpu.waits == []
