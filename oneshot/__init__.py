"""One-shot learning on Omniglot: drawings, cluttered scenes, networks and their protocols."""

from oneshot.library import fetch_drawings, load_scenes

__all__ = ["fetch_drawings", "load_scenes"]
