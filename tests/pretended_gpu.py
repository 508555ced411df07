"""A GPU that is not there: tensors "on cuda" are CPU tensors with a mark, which a TorchFunctionMode keeps.

Everything is computed for real, on the CPU. What a GPU would refuse is refused: operands on two devices,
.numpy() of a GPU tensor, a CPU generator for numbers on the GPU, pinning a GPU tensor. Whatever makes the CPU
wait for a GPU is noted in `waits`, with the line that asked for it. Streams and memory are not pretended.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
# They take operands on both devices, and leave the first where it is.
COPIES = {
    Tensor.copy_, Tensor.data.__set__, Tensor.grad.__set__, torch._foreach_copy_, Tensor.type_as, Tensor.set_,
    torch._has_compatible_shallow_copy_type, Tensor.__deepcopy__,
}  # fmt: skip
# Their result, or its size, has to come back to the CPU.
READ_BACK = {
    Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__,
    Tensor.nonzero, torch.nonzero, Tensor.masked_select, torch.masked_select, Tensor.is_nonzero, torch.equal,
    Tensor.equal, torch.allclose, Tensor.unique, torch.bincount, Tensor.__format__, Tensor.__repr__,
}  # fmt: skip
OURS = ("/oneshot/", "/stages/", "/tests/")  # folders whose lines are named in `waits`


def on_gpu(value: Any) -> bool:
    return getattr(value, "_on_gpu", False)


def mark(value: Any, gpu: bool) -> Any:
    """Say of all tensors in a value where they are."""
    for tensor in tensors_in(value):
        tensor._on_gpu = gpu  # type: ignore[attr-defined]
    return value


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from tensors_in(part)


def is_gpu(device: Any) -> bool:
    return torch.device(device).type == "cuda"


class PretendedGPU(TorchFunctionMode):
    """Every call of PyTorch, looked at before and after it is made on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[str, str]] = []  # function, and file:line

    def wait(self, function: Callable[..., Any]) -> None:
        frame = sys._getframe()
        while frame.f_back and (
            frame.f_code.co_filename == __file__ or not any(o in frame.f_code.co_filename for o in OURS)
        ):
            frame = frame.f_back
        where = f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"
        self.waits.append((resolve_name(function) or function.__name__, where))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        own = OWN_WAYS.get(func)
        if own is not None:
            return own(self, func, *args, **kwargs)
        device, pinned = kwargs.get("device"), kwargs.pop("pin_memory", False)
        if device is not None:
            kwargs["device"] = CPU
            self.check_creation(func, device, kwargs.get("generator"))
        found = [*tensors_in(args), *tensors_in(kwargs)]
        gpu = [tensor for tensor in found if on_gpu(tensor)]
        if gpu or func in COPIES:
            self.check_operands(func, args, kwargs, found, gpu)
        result = func(*args, **kwargs)
        if pinned:
            result._pinned = True
        if device is not None:
            return mark(result, is_gpu(device))
        if func in COPIES:
            return mark(result, on_gpu(args[0]))
        return mark(result, True) if gpu else result

    def check_creation(self, func: Any, device: Any, generator: torch.Generator | None) -> None:
        if not is_gpu(device):
            return
        if generator is not None and generator.device.type == "cpu":
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if func in (torch.tensor, torch.as_tensor):
            self.wait(func)

    def check_operands(
        self, func: Any, args: Any, kwargs: Any, found: Sequence[Tensor], gpu: Sequence[Tensor]
    ) -> None:
        """Refuse operands on two devices; note what a GPU is waited for."""
        if func in COPIES:
            blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            if func is Tensor.copy_ and on_gpu(args[0]) != on_gpu(args[1]) and blocking:
                self.wait(func)
            return
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type == "cpu":
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        others = [tensor for tensor in found if not on_gpu(tensor)]
        indexing = func in (Tensor.__getitem__, Tensor.__setitem__)
        by_truth = indexing and any(t.dtype == torch.bool for t in tensors_in(args[1]))
        if func in READ_BACK or by_truth or (indexing and others and on_gpu(args[0])):
            self.wait(func)
        elif any(tensor.ndim for tensor in others) or (others and func in (torch.cat, torch.stack)):
            raise RuntimeError(
                f"{resolve_name(func)}: expected all tensors to be on the same device, but found "
                f"{[tuple(t.shape) for t in gpu]} on cuda and {[tuple(t.shape) for t in others]} on cpu"
            )

    def numpy(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if on_gpu(tensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        return func(tensor, *args, **kwargs)

    def pin(self, func: Any, tensor: Tensor) -> Tensor:
        if on_gpu(tensor):
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor': only dense CPU tensors can be pinned")
        pinned = tensor.clone()
        pinned._pinned = True  # type: ignore[attr-defined]
        return pinned

    def to(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Move to a device, or convert; asked for in any of the ways that Tensor.to knows."""
        device, non_blocking, rest = kwargs.pop("device", None), kwargs.pop("non_blocking", False), []
        for value in args:
            if isinstance(value, str | torch.device):
                device = value
            elif isinstance(value, bool):
                non_blocking = value
            elif isinstance(value, Tensor):
                device, rest = value.device, [value.dtype]
            elif value is not None:
                rest.append(value)
        before = on_gpu(tensor)
        after = before if device is None else is_gpu(device)
        if before != after and not (non_blocking and (before or getattr(tensor, "_pinned", False))):
            self.wait(func)
        moved = func(tensor, *rest, **kwargs) if rest or kwargs else tensor
        if before != after and moved is tensor:
            moved = tensor.clone()
        return mark(moved, after)


# What does not go the usual way: a function, and what does its work.
OWN_WAYS: dict[Any, Callable[..., Any]] = {
    Tensor.device.__get__: lambda gpu, func, tensor: CUDA if on_gpu(tensor) else CPU,
    Tensor.is_cuda.__get__: lambda gpu, func, tensor: on_gpu(tensor),
    Tensor.is_cpu.__get__: lambda gpu, func, tensor: not on_gpu(tensor),
    Tensor.grad.__get__: lambda gpu, func, tensor: mark(func(tensor), on_gpu(tensor)),
    Tensor.data.__get__: lambda gpu, func, tensor: mark(func(tensor), on_gpu(tensor)),
    Tensor.data.__set__: lambda gpu, func, tensor, value: (func(tensor, value), mark(tensor, on_gpu(value))),
    Tensor.is_pinned: lambda gpu, func, tensor: getattr(tensor, "_pinned", False),
    Tensor.pin_memory: PretendedGPU.pin,
    Tensor.numpy: PretendedGPU.numpy,
    Tensor.__array__: PretendedGPU.numpy,
    Tensor.to: PretendedGPU.to,
    Tensor.cpu: lambda gpu, func, tensor: gpu.to(func, tensor, "cpu"),
    Tensor.cuda: lambda gpu, func, tensor, *_, **kwargs: gpu.to(func, tensor, "cuda", **kwargs),
}


class Stream:
    """A stream of a GPU that has always finished."""

    def __init__(self, device: Any = None) -> None: ...

    def synchronize(self) -> None: ...


class Autocast(torch.autocast):
    """The CPU's in place of the GPU's."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)


@contextmanager
def pretending_gpu(memory: int = 80 * 2**30) -> Iterator[PretendedGPU]:
    """Make PyTorch find one GPU with so much free memory, in all threads."""
    mode, run = PretendedGPU(), threading.Thread.run

    def run_with_mode(thread: threading.Thread) -> None:
        with mode:
            run(thread)

    functions = {
        "is_available": True, "device_count": 1, "get_device_name": "pretended GPU", "empty_cache": None,
        "mem_get_info": (memory, memory), "memory_reserved": 0, "memory_allocated": 0,
        "max_memory_allocated": 0, "default_stream": Stream(), "stream": nullcontext(),
    }  # fmt: skip
    with ExitStack() as stack:
        for name, value in functions.items():
            stack.enter_context(patch.object(torch.cuda, name, lambda *_, value=value, **__: value))
        stack.enter_context(patch.object(torch.cuda, "Stream", Stream))
        stack.enter_context(patch.object(torch, "autocast", Autocast))
        stack.enter_context(patch.object(Tensor, "record_stream", lambda tensor, stream: None))
        stack.enter_context(patch.object(threading.Thread, "run", run_with_mode))
        stack.enter_context(mode)
        yield mode
