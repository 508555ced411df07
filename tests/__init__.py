"""The tests; all of oneshot but the compiled kernels is loaded with checks of its shapes and types."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder


class UncheckedKernels(MetaPathFinder):
    """Finds the kernels before jaxtyping's import hook does: numba cannot compile the wrappers of that."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: object = None
    ) -> ModuleSpec | None:
        is_kernels = fullname.startswith("oneshot.") and fullname.endswith("kernels")
        return PathFinder.find_spec(fullname, path) if is_kernels else None


sys.meta_path.insert(0, UncheckedKernels())
