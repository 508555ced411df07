"""Training learns, resumes bit for bit, and stops on numbers that are none; evaluation scores every scene."""

import errno
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from oneshot import files
from oneshot.errors import TrainingError
from oneshot.segment.batches import PixelStatistics, code, decode, pixel_statistics
from oneshot.segment.evaluate import evaluate_answers
from oneshot.segment.feed import SceneFeed
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.metrics import foreground, iou, localised
from oneshot.segment.nets.siamese_unet import SiameseUNet
from oneshot.segment.phases import Phase
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.training import fit as loop
from oneshot.training.progress import LogPoint, read_progress
from oneshot.training.schedules import warm_up_and_cosine
from oneshot.training.tensors import NetworkInfo, WeightsError, load_tensors, save_network
from tests.archives import flip_bit
from tests.fake_scenes import fake_scenes, fake_targets

STATISTICS = PixelStatistics(20.0, 50.0)
N_STEPS = 24


class KilledError(Exception):
    """Stands for a power cut."""


RATES = {"published": 5e-4, "fast": 2e-3}
MATCHING_WEIGHTS = {"published": 0.0, "fast": 0.1}


@pytest.fixture
def make_run(open_stock):
    return lambda *arguments, **changes: prepare_run(open_stock, *arguments, **changes)


def prepare_run(open_stock, name: str, lr: float | None = None, n_scenes: int = 4 * N_STEPS):
    recipe = SegmentationRecipe(name, lr or RATES[name], 4, MATCHING_WEIGHTS[name])
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    feed = SceneFeed(
        open_stock(lambda level, job: fake_scenes(20, level, seed=job)), [Phase((4,), n_scenes)], STATISTICS,
        batch_size=recipe.batch_size, seed=1, n_jobs=3, n_job_scenes=20, n_window_jobs=1,
        render_targets=fake_targets if recipe.matching_weight else None,
    )  # fmt: skip
    return SegmentationLoss(net, recipe.matching_weight), feed, recipe


def fit(loss, feed, recipe, **settings):
    """Call the loop with what tells the recipes of these tests apart."""
    return loop.fit(loss, feed, recipe, identity={"lr": recipe.lr}, **settings)


def without_time(points: list[LogPoint]) -> list[LogPoint]:
    return [replace(point, seconds=0.0) for point in points]


@pytest.mark.parametrize("name", ["published", "fast"])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(name, tmp_path, make_run):
    loss, feed, recipe = make_run(name)
    whole = fit(loss, feed, recipe, checkpoint=tmp_path / "whole", log_every=3, checkpoint_seconds=0.0)
    assert whole.step == N_STEPS

    def kill_at_step_12(point):
        if point.step == 12:
            raise KilledError

    interrupted, feed, recipe = make_run(name)
    with pytest.raises(KilledError):
        fit(
            interrupted, feed, recipe, checkpoint=tmp_path / "killed", log_every=3, checkpoint_seconds=0.0,
            on_log=kill_at_step_12,
        )  # fmt: skip
    resumed, feed, recipe = make_run(name)
    points: list[LogPoint] = []
    progress = fit(
        resumed, feed, recipe, checkpoint=tmp_path / "killed", log_every=3, checkpoint_seconds=0.0,
        on_log=points.append,
    )  # fmt: skip

    assert without_time(points) == without_time(progress.curve) == without_time(whole.curve)
    torch.testing.assert_close(resumed.state_dict(), loss.state_dict(), atol=0, rtol=0)
    assert tensors_of(tmp_path / "killed") == tensors_of(tmp_path / "whole")


def tensors_of(path):
    """Raw bytes of every tensor of a checkpoint, the optimisers' state included."""
    tensors, _ = load_tensors(path)
    assert any(name.startswith("optimizer.0.") for name in tensors)
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", ["published", "fast"])
def test_stopped_at_any_step_and_resumed_equals_uninterrupted_bit_for_bit(name, tmp_path, make_run):
    loss, feed, recipe = make_run(name)
    settings = {"log_every": 5, "checkpoint_seconds": 3600.0}
    whole = fit(loss, feed, recipe, checkpoint=tmp_path / "whole", **settings)
    progress = None
    for n_steps in (1, 6, 4, 100):  # stops after steps 1, 7 and 11: within and at the end of a log interval
        interrupted, feed, recipe = make_run(name)
        asked = iter([False] * (n_steps - 1) + [True])
        progress = fit(
            interrupted, feed, recipe, checkpoint=tmp_path / "stopped",
            stop=lambda asked=asked: next(asked, True), **settings,
        )  # fmt: skip
    assert progress.complete
    assert without_time(progress.curve) == without_time(whole.curve)
    torch.testing.assert_close(interrupted.state_dict(), loss.state_dict(), atol=0, rtol=0)


def test_training_ends_before_its_deadline_and_goes_on_later(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    # Every interval takes a tenth of a second: a third one would end after the deadline.
    deadline = time.monotonic() + 0.25
    progress = fit(
        loss, feed, recipe, checkpoint=tmp_path / "run", log_every=2, deadline=deadline,
        on_log=lambda point: time.sleep(0.1),
    )  # fmt: skip
    assert 0 < progress.step < N_STEPS
    assert not progress.complete
    assert read_progress(tmp_path / "run") == progress
    resumed, feed, recipe = make_run("published")
    assert fit(resumed, feed, recipe, checkpoint=tmp_path / "run").complete


def test_a_full_disk_costs_no_checkpoint_that_was_written(tmp_path, make_run, monkeypatch):
    loss, feed, recipe = make_run("published")
    whole = fit(loss, feed, recipe, checkpoint=tmp_path / "whole", log_every=3, checkpoint_seconds=0.0)
    interrupted, feed, recipe = make_run("published")
    n_flushed = []

    def fill_up(number):
        n_flushed.append(number)
        if len(n_flushed) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", fill_up)
        with pytest.raises(OSError, match="No space left"):
            fit(interrupted, feed, recipe, checkpoint=tmp_path / "run", log_every=3, checkpoint_seconds=0.0)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "run"}
    assert read_progress(tmp_path / "run").step == 6
    resumed, feed, recipe = make_run("published")
    progress = fit(resumed, feed, recipe, checkpoint=tmp_path / "run", log_every=3, checkpoint_seconds=0.0)
    assert without_time(progress.curve) == without_time(whole.curve)
    torch.testing.assert_close(resumed.state_dict(), loss.state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 1 EB")]
)
def test_full_memory_is_one_sentence(error, tmp_path, make_run):
    loss, feed, recipe = make_run("published")

    def fail(module, inputs, output):
        raise error

    loss.register_forward_hook(fail)
    with pytest.raises(TrainingError, match="memory ran out on cpu at batches of 4; lower batch_size"):
        fit(loss, feed, recipe, checkpoint=tmp_path / "run")


def test_log_points_tell_the_mean_loss_the_scenes_and_the_rate(tmp_path, make_run):
    losses: list[float] = []
    loss, feed, recipe = make_run("fast")
    loss.register_forward_hook(lambda module, inputs, output: losses.append(output.item()))
    curve = fit(loss, feed, recipe, checkpoint=tmp_path / "run", log_every=5).curve
    assert [point.step for point in curve] == [5, 10, 15, 20, 24]
    assert [point.n_seen for point in curve] == [20, 40, 60, 80, 96]
    starts = [0, 5, 10, 15, 20]
    assert [point.loss for point in curve] == pytest.approx(
        [np.mean(losses[start : start + 5]) for start in starts], rel=1e-6
    )
    rates = [2e-3 * warm_up_and_cosine(point.step - 1, N_STEPS) for point in curve]
    assert [point.lr for point in curve] == pytest.approx(rates)
    seconds = [point.seconds for point in curve]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_a_finished_run_is_not_trained_again(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    first = fit(loss, feed, recipe, checkpoint=tmp_path / "run")
    again, feed, recipe = make_run("published")
    assert fit(again, feed, recipe, checkpoint=tmp_path / "run") == first
    torch.testing.assert_close(again.state_dict(), loss.state_dict(), atol=0, rtol=0)


def test_checkpoints_are_no_more_frequent_than_asked(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    found = []
    fit(
        loss, feed, recipe, checkpoint=tmp_path / "run", log_every=1, checkpoint_seconds=3600.0,
        on_log=lambda point: found.append((tmp_path / "run").exists()),
    )  # fmt: skip
    assert not any(found)
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_divergence_ends_in_one_sentence_and_keeps_the_last_good_checkpoint(where, tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    kept: list[bytes] = []

    def spoil_after_step_6(point):
        if point.step == 6:
            kept.append((tmp_path / "run").read_bytes())
            if where == "loss":
                loss.register_forward_hook(lambda module, inputs, output: output * torch.nan)
            else:
                # The loss of step 7 is still finite, and its update is not.
                loss.net.decoder.layers[-1].weight.register_hook(lambda gradient: gradient * torch.nan)

    with pytest.raises(TrainingError, match=r"diverged by step 7 .*lower the learning rate from 0\.0005"):
        fit(
            loss, feed, recipe, checkpoint=tmp_path / "run", log_every=1, checkpoint_seconds=0.0,
            on_log=spoil_after_step_6,
        )  # fmt: skip
    # Step 6 was written after its log point; step 7 was not.
    assert len(kept) == 1
    resumed, feed, recipe = make_run("published")
    assert fit(resumed, feed, recipe, checkpoint=tmp_path / "run").step == N_STEPS


def test_a_checkpoint_of_another_run_is_refused(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    fit(loss, feed, recipe, checkpoint=tmp_path / "run")
    for changes, message in [
        ({"name": "fast"}, "recipe 'published', not 'fast'"),
        ({"name": "published", "lr": 1e-3}, "lr 0.0005, not 0.001"),
        ({"name": "published", "n_scenes": 100}, "n_steps 24, not 25"),
    ]:
        with pytest.raises(TrainingError, match=message):
            fit(*make_run(**changes), checkpoint=tmp_path / "run")


def test_a_damaged_checkpoint_is_named(tmp_path, make_run):
    (tmp_path / "run").write_bytes(b"half")
    with pytest.raises(WeightsError, match="damaged"):
        fit(*make_run("published"), checkpoint=tmp_path / "run")


def test_weights_are_no_checkpoint(tmp_path, make_run):
    loss, feed, recipe = make_run("published")
    save_network(tmp_path / "run", loss.net, NetworkInfo("segmentation", "siamese_unet"))
    with pytest.raises(WeightsError, match="run is no checkpoint: delete it to start afresh"):
        fit(loss, feed, recipe, checkpoint=tmp_path / "run")


def test_a_flipped_bit_in_a_checkpoint_is_not_trained_on(tmp_path, make_run):
    path = tmp_path / "run"
    fit(*make_run("published"), checkpoint=path)
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole)
        flip_bit(path, place)
        with pytest.raises(WeightsError, match=r"damaged .*: delete it to start afresh"):
            fit(*make_run("published"), checkpoint=path)


@pytest.mark.parametrize(("name", "lr", "n_steps"), [("published", 5e-3, 100), ("fast", 2e-3, 60)])
def test_one_batch_is_overfitted(name, lr, n_steps, tmp_path, open_stock):
    recipe = SegmentationRecipe(name, lr, 2, MATCHING_WEIGHTS[name])
    scenes = fake_scenes(2, 4, seed=0)
    statistics = pixel_statistics(scenes)
    net = SiameseUNet(4).initialise(np.random.default_rng(0))
    feed = SceneFeed(
        open_stock(lambda level, job: scenes), [Phase((4,), 2 * n_steps)], statistics, batch_size=2, seed=0,
        n_jobs=1, n_job_scenes=2, render_targets=fake_targets if recipe.matching_weight else None,
    )  # fmt: skip
    fit(SegmentationLoss(net, recipe.matching_weight), feed, recipe, checkpoint=tmp_path / "run")
    scores = evaluate_answers(net, scenes, statistics)["answer"]
    assert scores.iou.min() > 0.7
    assert scores.hits.all()


def test_evaluation_scores_every_scene_in_order_whatever_the_batch_size():
    scenes = fake_scenes(7, 4, seed=3)
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    batch = decode(code(scenes), slice(0, 7), STATISTICS)
    predicted = foreground(net(batch.images, batch.targets))
    for batch_size in (7, 3):
        scores = evaluate_answers(net, scenes, STATISTICS, batch_size=batch_size)["answer"]
        np.testing.assert_allclose(scores.iou, iou(predicted, batch.masks).numpy(), atol=1e-6)
        np.testing.assert_array_equal(scores.hits, localised(predicted, batch.masks).numpy())
