"""Drawings laid out for rendering."""

import pytest

from oneshot.clutter.scenes import Pens, lay_out
from oneshot.omniglot.drawings import Drawings


@pytest.fixture(scope="session")
def pens(synthetic_drawings: Drawings) -> dict[str, Pens]:
    return {name: lay_out(synthetic_drawings, name) for name in ("train", "eval", "test")}
