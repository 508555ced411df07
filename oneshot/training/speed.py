"""How a network is run, apart from what it computes: device, precision, memory order, compilation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from oneshot.errors import TrainingError
from oneshot.params import SPEED_PARTS

# What "auto" takes; on a CPU with units for bfloat16 that, too. With those of AVX-512 it takes 0.6 to 0.8 of
# the time of one thread and 0.9 of that of two; AMX is untried. Without units it takes ten times as long
# (AMD Zen 3). Compiled code, after minutes of compilation, ran slower than eager.
BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16")
AUTOMATIC_PARTS = {
    "cpu": ("channels_last", "fused"),
    "cuda": ("bf16", "channels_last", "compiled", "fused"),
    "mps": (),  # Apple's GPU, untried: the plain path
}

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Speed:
    """Settings laid over the plain float32 path from outside; tests compare each with it.

    bf16: convolutions and matrix products in bfloat16; weights, normalisation and losses stay float32.
    channels_last: the channels of a pixel lie side by side, as matrix units want them.
    compiled: torch.compile, for fixed shapes. cuda_graphs: compiled code is recorded and replayed whole.
    fused: Adam's update is one kernel. tf32: float32 products on GPUs are computed in TF32, with 10 bits of
    23, where bfloat16's 7 are too few; bf16 includes it, for what it leaves in float32.
    auto: whether code is compiled, and replayed as CUDA graphs, is still to be measured (see `others`).
    """

    device: str = "cpu"
    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False
    cuda_graphs: bool = False
    fused: bool = False
    tf32: bool = False
    auto: bool = field(default=False, repr=False)  # it is no part of what tells runs apart

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def device_type(self) -> str:
        """cpu, cuda, whichever GPU it is, or mps."""
        return torch.device(self.device).type

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what is on."""
        return tuple(part for part in SPEED_PARTS if getattr(self, part))

    @property
    def name(self) -> str:
        """Parts joined by commas, as `choose_speed` reads them."""
        return ",".join(self.parts) or "plain"

    @property
    def even(self) -> bool:
        """Say if batches of another size cost: code is compiled for one, and cuDNN searches for each."""
        return self.compiled or self.device_type == "cuda"

    def others(self) -> list["Speed"]:
        """List what else a network may run fastest with, to be measured: not compiled, or as CUDA graphs."""
        if not self.auto:
            return []
        return [self.decided(()), self.decided(("compiled", "cuda_graphs"))]

    def decided(self, parts: Sequence[str]) -> "Speed":
        """Give the same, compiled and replayed as these parts say."""
        return replace(self, auto=False, compiled="compiled" in parts, cuda_graphs="cuda_graphs" in parts)

    def plain(self) -> "Speed":
        """Give the path that all others are checked against, on the same device."""
        return Speed(self.device)

    def autocast(self) -> torch.autocast:
        # Without a cache of cast weights: one that outlives an update would go on with the old weights.
        return torch.autocast(self.device_type, torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Set precision for a whole training loop, updates included, or a whole evaluation.

        Precision is as asked: without bf16 or tf32, float32 is float32 throughout, where cuDNN would take
        TF32. The settings are the process's own, and are put back.
        """
        if self.device_type != "cuda":
            with self.autocast():
                yield
            return
        matmul = torch.get_float32_matmul_precision()
        # What is left in float32 beside bfloat16, such as Muon's products, can do with TF32.
        torch.set_float32_matmul_precision("high" if self.bf16 or self.tf32 else "highest")
        try:
            # Batches are of equal size: the search for the fastest convolution is paid once.
            allowed = self.bf16 or self.tf32
            with torch.backends.cudnn.flags(True, benchmark=True, allow_tf32=allowed), self.autocast():
                yield
        finally:
            torch.set_float32_matmul_precision(matmul)

    def place(self, module: Module) -> Module:
        """Put a module on the device.

        Its weights keep their order in channels_last too: convolutions turn them while casting, which costs
        next to nothing, but fused Adam silently mixes up a turned weight and a state restored from a file.
        """
        return module.to(self.device)

    def compile(self, module: nn.Module) -> nn.Module:
        """Give what to call instead of a module: itself, or its compiled form with the same weights."""
        if not self.compiled:
            return module
        options: dict[str, Any] = {}
        if self.device_type == "cuda":
            options["triton.cudagraphs"] = self.cuda_graphs
        # One graph, or an error: falling back to eager would go unnoticed. PyTorch itself cuts DDP in pieces.
        whole = not isinstance(module, DistributedDataParallel)
        return cast(nn.Module, torch.compile(module, dynamic=False, fullgraph=whole, options=options))

    def begin_step(self) -> None:
        """Begin a call of a compiled module: what CUDA graphs gave back may be overwritten from here on."""
        if self.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()


def choose_automatically(kind: str) -> tuple[str, ...]:
    """Choose the parts that help on a kind of device: cpu, cuda or mps."""
    # PyTorch 2.9 does not say what a CPU has.
    found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    has_units = kind == "cpu" and any(found.get(name) for name in BFLOAT16_UNITS)
    return (("bf16",) if has_units else ()) + AUTOMATIC_PARTS[kind]


def choose_speed(device: str = "auto", parts: str = "auto") -> Speed:
    """Choose the settings for a device: auto (a GPU of CUDA if there is one), cpu, cuda, cuda:N or mps.

    `parts` names what to turn on, joined by commas; "plain" is nothing, "auto" what helps on that device.

    Raises:
        TrainingError: the device or a part is unknown, or cannot be had here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in AUTOMATIC_PARTS or (":" in device and not number.isdecimal()):
        raise TrainingError(f"device is {device!r}; choose auto, cpu, cuda, cuda:N or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise TrainingError(f"device is {device!r}, but PyTorch finds no GPU here; set it to auto or cpu.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise TrainingError("device is 'mps', but PyTorch finds no Apple GPU here; set it to auto or cpu.")
    chosen = {"auto": choose_automatically(kind), "plain": ()}.get(parts, tuple(parts.split(",")))
    for part in chosen:
        if part not in SPEED_PARTS:
            raise TrainingError(
                f"speed is {parts!r}, but there is no {part!r}; choose auto, plain, or some of "
                f"{', '.join(SPEED_PARTS)}, joined by commas."
            )
    if "cuda_graphs" in chosen and (kind != "cuda" or "compiled" not in chosen):
        raise TrainingError(
            f"speed is {parts!r} on device {device!r}; cuda_graphs needs a GPU, and compiled beside it."
        )
    return Speed(device, **dict.fromkeys(chosen, True), auto=kind == "cuda" and parts == "auto")


def evaluation_speed(device: str) -> Speed:
    """Choose the settings that networks are evaluated with: single precision, on a CPU in the faster order.

    Raises:
        TrainingError: the device is unknown, or cannot be had here.
    """
    speed = choose_speed(device, "plain")
    return replace(speed, channels_last=speed.device_type == "cpu")
