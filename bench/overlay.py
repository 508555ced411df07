"""The parts of the speed overlay one by one, each beside the plain path; where the time of a step goes."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.autograd import DeviceType

from bench.harness import LEVEL, Bench, Readings
from bench.rates import synchronise
from oneshot.segment.batches import Batch, code, decode
from oneshot.segment.evaluate import evaluate_answers
from oneshot.segment.losses import SegmentationLoss
from oneshot.segment.recipes import SegmentationRecipe
from oneshot.training.fit import train_step
from oneshot.training.speed import Speed

FIRST_LOSSES = 6  # steps whose losses are compared with the plain path's
N_BATCHES = 4  # different ones, for steps without a feed
HELD_OUT_JOB = 999


def variants(bench: Bench) -> Iterator[Speed]:
    """The plain path, what is measured elsewhere, then part by part; last the dear ones."""
    plain = bench.speed.plain()
    yield plain
    if not bench.cuda:  # bf16 and compiled take minutes on most CPUs: asked for by --speed only
        yield from dict.fromkeys(
            [replace(plain, fused=True), replace(plain, channels_last=True), bench.speed]
        )
        return
    full = replace(plain, bf16=True, channels_last=True, compiled=True, fused=True)
    yield full
    yield replace(full, cuda_graphs=True)
    yield replace(plain, bf16=True)
    yield replace(plain, bf16=True, channels_last=True)
    yield replace(plain, fused=True)
    yield replace(plain, channels_last=True)
    yield replace(full, channels_last=False)
    yield replace(full, bf16=False)
    yield replace(plain, compiled=True)


def overlay(bench: Bench) -> dict[str, Any]:
    """Steps without a feed; the first losses and the IoU of the same weights beside the plain path's."""
    recipe, found = bench.recipe("published"), {}
    held_out = bench.training_set.render_job(LEVEL, HELD_OUT_JOB)
    plain_losses = np.zeros(FIRST_LOSSES)
    plain_iou = math.nan
    print("  scenes/s | first losses off by | IoU, points | off by | first step, s | parts")
    for speed in variants(bench):
        if time.monotonic() > bench.ends:
            print("  left out the rest: the time is up (--minutes)")
            break
        name = ",".join(speed.parts) or "plain"
        try:
            losses, readings = time_steps(bench, recipe, speed)
            iou = 100 * evaluate_answers(
                copy.deepcopy(bench.net), held_out[: 2000 if bench.cuda else 200], bench.statistics,
                batch_size=bench.batch_size, speed=speed,
            )["answer"].iou.mean()  # fmt: skip
        except Exception as error:
            print(f"  failed: {name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            found[name] = {"error": str(error)}
            continue
        if not speed.parts:
            plain_losses, plain_iou = losses, iou
        off = float(np.abs(losses - plain_losses).max())
        print(
            f"  {readings.median:8,.0f} | {off:19.2e} | {iou:11.2f} | {iou - plain_iou:+6.2f} | "
            f"{readings.start_seconds:13.1f} | {name}",
            flush=True,
        )
        found[name] = readings.figures() | {"losses": losses.tolist(), "off": off, "iou": float(iou)}
    return found


def time_steps(bench: Bench, recipe: SegmentationRecipe, speed: Speed) -> tuple[np.ndarray, Readings]:
    """The first losses of a fresh network, then readings of further steps."""
    torch._dynamo.reset()  # else code compiled for other settings counts towards a limit
    loss = speed.place(SegmentationLoss(bench.new_net())).train()
    optimizers, forward = recipe.optimizers(loss, speed.fused), speed.compile(loss)
    batches = fixed_batches(bench, speed)
    with speed.running():
        started = time.perf_counter()
        losses = [train_step(forward, batches[0], optimizers, speed).item()]
        start_seconds = time.perf_counter() - started
        for number in range(1, FIRST_LOSSES):
            losses.append(train_step(forward, batches[number % N_BATCHES], optimizers, speed).item())
        rates, begun = [], time.perf_counter()
        n_steps = max(1, bench.steps_a_reading // 5)
        while time.perf_counter() - begun < bench.seconds / 2:
            started = time.perf_counter()
            for number in range(n_steps):
                train_step(forward, batches[number % N_BATCHES], optimizers, speed)
            synchronise(bench.device)
            rates.append(n_steps * bench.batch_size / (time.perf_counter() - started))
    return np.array(losses), Readings(rates, start_seconds=start_seconds)


def fixed_batches(bench: Bench, speed: Speed) -> list[Batch]:
    coded = code(bench.scenes[: N_BATCHES * bench.batch_size]).to(bench.device)
    places = torch.arange(len(coded), device=bench.device).split(len(coded) // N_BATCHES)
    return [decode(coded, which, bench.statistics, speed.memory_format) for which in places[:N_BATCHES]]


def profile(bench: Bench) -> list[dict[str, Any]]:
    """Where the time of a step of ours goes, kernel by kernel."""
    recipe, speed = bench.recipe("published"), bench.speed
    loss = speed.place(SegmentationLoss(bench.new_net())).train()
    optimizers, forward = recipe.optimizers(loss, speed.fused), speed.compile(loss)
    batches, n_steps = fixed_batches(bench, speed), 5 if bench.cuda else 1
    with speed.running():
        for _ in range(3):
            train_step(forward, batches[0], optimizers, speed).item()
        with torch.profiler.profile() as profiler:
            for number in range(n_steps):
                train_step(forward, batches[number % N_BATCHES], optimizers, speed)
            synchronise(bench.device)
    key = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, key))
    if bench.cuda:  # operators and annotations carry the time of their kernels a second time
        events = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    total = sum(getattr(event, key) for event in events)
    rows = [
        {"kernel": event.key, "share": getattr(event, key) / total, "us": getattr(event, key) / n_steps,
         "calls": event.count / n_steps}
        for event in events[:40]
    ]  # fmt: skip
    for row in rows[:16]:
        print(f"  {row['share']:6.1%} {row['us']:9,.0f} us {row['calls']:5.0f} calls  {row['kernel'][:90]}")
    print(f"  {total / n_steps / 1000:.2f} ms of kernels a step in all")
    return rows
