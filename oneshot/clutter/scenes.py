"""Cluttered scenes: what a set of scenes is, and how a job of them is rendered.

Source: Michaelis, Bethge, Ecker 2018 (arXiv 1803.09597), section 3; github.com/michaelisc/cluttered-omniglot
at 0cd38ba.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt16

from oneshot.clutter import kernels
from oneshot.errors import ParameterError
from oneshot.omniglot.drawings import Drawings
from oneshot.published import Split

JOB_SCENES = 2000  # scenes of a published job
LARGEST_SIDE = 4096  # pixels, of a scene or target image
TOO_LITTLE_INK = (
    "was drawn from a drawing with so little ink that no warp leaves two rows and two columns of it; "
    "remove such drawings."
)


@dataclass(frozen=True)
class SceneRecipe:
    """Composition of scenes; with a seed and a number of scenes it fixes every bit of a job.

    ``characters`` names a character set (train, eval, test); drawers are 0-based and ``drawers[1]`` is
    excluded; sizes are (width, height). ``clutter_level`` counts the distractors and the target, but not the
    ``n_occluders`` characters that are drawn over it. ``empty_share`` of the scenes lack their target.
    """

    clutter_level: int
    characters: str
    drawers: tuple[int, int]
    n_occluders: int = 0
    empty_share: float = 0.0
    scene_size: tuple[int, int] = (96, 96)
    target_size: tuple[int, int] = (32, 32)

    def __post_init__(self) -> None:
        first, end = self.drawers
        if not 0 <= first < end <= 20:
            raise ParameterError(f"drawers {first}:{end} is no range within 0:20.")
        if self.clutter_level < 1:
            raise ParameterError(
                f"clutter_level is {self.clutter_level}; a scene holds at least its target (1)."
            )
        if self.n_occluders < 0:
            raise ParameterError(f"n_occluders is {self.n_occluders}; it cannot be negative.")
        if self.n_labels > 2**16:
            raise ParameterError(f"a scene of {self.n_labels - 1} characters is too full; at most 65535.")
        if not 0.0 <= self.empty_share <= 1.0:
            raise ParameterError(f"empty_share is {self.empty_share}; it must lie within 0 and 1.")
        if min(*self.scene_size, *self.target_size) < 1:
            raise ParameterError(f"sizes must be positive, not {self.scene_size} and {self.target_size}.")
        if max(*self.scene_size, *self.target_size) > LARGEST_SIDE:
            raise ParameterError(
                f"sizes must be at most {LARGEST_SIDE}, not {self.scene_size} and {self.target_size}."
            )

    @property
    def n_characters(self) -> int:
        """Characters of a scene, occluders included."""
        return self.clutter_level + self.n_occluders

    @property
    def n_labels(self) -> int:
        """Values of the label map: the background and one for each character."""
        return self.n_characters + 1

    @property
    def scene_bytes(self) -> int:
        """Memory that a scene takes: label map, mask and palette, and as images, about."""
        pixels = np.prod([self.scene_size, self.target_size], axis=1).sum()
        return 7 * int(pixels) + 5 * self.n_labels


def split_recipe(split: Split, clutter_level: int) -> SceneRecipe:
    """Give the recipe of a split's scenes of n characters; in our splits, half of them are occluders."""
    recipe = SceneRecipe(clutter_level, split.characters, split.drawers)
    return cover(recipe) if split.ours else recipe


def cover(recipe: SceneRecipe) -> SceneRecipe:
    """Give the recipe of as many characters, half of which are drawn over the target."""
    n_occluders = recipe.clutter_level // 2
    return replace(recipe, clutter_level=recipe.clutter_level - n_occluders, n_occluders=n_occluders)


@dataclass(frozen=True)
class Scenes:
    """Scenes as label map, palette and mask, and their targets: lossless, in half the size of the arrays.

    ``labels`` is 0 where there is no character, else 1 + the place in the order of drawing: distractors,
    target (label ``clutter_level``), occluders. ``masks`` is the target's ink. ``characters`` holds the
    index, within the character set, of the character behind every label from 1 on; ``target_characters``
    of the target image, which need not be in an empty scene. Colours are R, G, B in 0..255.
    """

    labels: UInt8[np.ndarray, "n height width"] | UInt16[np.ndarray, "n height width"]
    palette: UInt8[np.ndarray, "n n_labels 3"]
    masks: Bool[np.ndarray, "n height width"]
    characters: UInt16[np.ndarray, "n n_characters"]
    target_inks: Bool[np.ndarray, "n target_height target_width"]
    target_tints: UInt8[np.ndarray, "n 3"]
    target_characters: UInt16[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: slice | Int[np.ndarray, " m"]) -> "Scenes":
        return Scenes(*(getattr(self, field.name)[which] for field in fields(self)))

    def images(self) -> UInt8[np.ndarray, "n height width 3"]:
        """Colour the label maps."""
        images = np.empty((*self.labels.shape, 3), np.uint8)
        kernels.colour_labels(self.labels, self.palette, images)
        return images

    def segmentation(self) -> UInt8[np.ndarray, "n height width 1"]:
        """View the masks as published: 0 or 1."""
        return self.masks[..., None].view(np.uint8)

    def targets(self) -> UInt8[np.ndarray, "n target_height target_width 3"]:
        """Colour the target images."""
        return np.multiply(self.target_inks[..., None], self.target_tints[:, None, None, :])

    def sha256(self) -> dict[str, str]:
        """Compute the SHA-256 of the raw arrays as published: images, segmentation, targets."""
        arrays = {"images": self.images, "segmentation": self.segmentation, "targets": self.targets}
        return {name: hashlib.sha256(array().data).hexdigest() for name, array in arrays.items()}


def concatenate(parts: Sequence[Scenes]) -> Scenes:
    """Join several jobs' scenes."""
    return Scenes(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Scenes)))


def keep_visible(scenes: Scenes, recipe: SceneRecipe) -> Scenes:
    """Give scenes as answers to them are judged: as `mask_visible` does, without those that show no target.

    Scenes without occluders are not changed, and none of them is left out.
    """
    if recipe.n_occluders == 0:
        return scenes
    scenes = mask_visible(scenes, recipe)
    return scenes[np.flatnonzero(scenes.masks.any((1, 2)))]


def mask_visible(scenes: Scenes, recipe: SceneRecipe) -> Scenes:
    """Leave, in the masks, the pixels of the target that no occluder covers: none, maybe.

    The target takes the last label, as if it had been drawn last; images stay as they are.
    """
    target, last = recipe.clutter_level, recipe.n_characters
    visible = scenes.masks & (scenes.labels == target)
    order = [*range(target), *range(target + 1, last + 1), target]
    new_labels = np.argsort(order).astype(scenes.labels.dtype)
    return replace(
        scenes,
        labels=new_labels[scenes.labels],
        palette=scenes.palette[:, order],
        masks=visible,
        characters=scenes.characters[:, np.array(order[1:]) - 1],
    )


@dataclass(frozen=True)
class Targets:
    """Target images on their own, ``n_targets`` for each scene."""

    inks: Bool[np.ndarray, "n n_targets target_height target_width"]
    tints: UInt8[np.ndarray, "n n_targets 3"]


@dataclass(frozen=True)
class Pens:
    """Drawings of one character set, laid out for the kernels."""

    bits: UInt8[np.ndarray, "characters 20 bytes"]
    ink_boxes: UInt8[np.ndarray, "characters 20 4"]  # left, top, right, bottom; the end is excluded


def lay_out(drawings: Drawings, character_set: str) -> Pens:
    """Pack one character set for rendering (a tenth of a second for the 964 training characters)."""
    bits = drawings.of(character_set).bits
    columns = np.unpackbits(np.bitwise_or.reduce(bits, axis=2), axis=-1, bitorder="little") > 0
    rows = np.asarray(bits.any(axis=3))
    box = [
        columns.argmax(-1),
        rows.argmax(-1),
        columns.shape[-1] - columns[..., ::-1].argmax(-1),
        rows.shape[-1] - rows[..., ::-1].argmax(-1),
    ]
    if not rows.any(-1).all():
        raise ParameterError(
            f"character set {character_set!r} holds a drawing without ink, which cannot be drawn."
        )
    padded = np.zeros((*bits.shape[:3], kernels.ROW_BYTES), np.uint8)
    padded[..., : bits.shape[3]] = bits
    return Pens(padded.reshape(*bits.shape[:2], -1), np.stack(box, axis=-1).astype(np.uint8))


def open_stream(seed: int) -> kernels.Stream:
    """Open the stream of ``numpy.random.RandomState(seed)``, at its start."""
    if not 0 <= seed < 2**32:
        raise ParameterError(f"the seed is {seed}; it must be at least 0 and below 2**32.")
    state = np.random.RandomState(seed).get_state(legacy=False)["state"]["key"]
    return kernels.Stream(state.copy(), np.empty_like(state), np.array([kernels.MT_WORDS]))


def render_job(pens: Pens, recipe: SceneRecipe, seed: int, n_scenes: int = JOB_SCENES) -> Scenes:
    """Render ``n_scenes`` scenes from a fresh stream, the same bits on every machine.

    Raises:
        ParameterError: a glyph does not fit into the scene, a drawing is too small, seed is not
            within 0 and 2**32 - 1, or n_scenes below 1.
    """
    if n_scenes < 1:
        raise ParameterError(f"n_scenes is {n_scenes}; it must be at least 1.")
    width, height = recipe.scene_size
    target_width, target_height = recipe.target_size
    first_drawer, end_drawer = recipe.drawers
    scenes = Scenes(
        labels=np.empty((n_scenes, height, width), np.uint8 if recipe.n_labels <= 256 else np.uint16),
        palette=np.zeros((n_scenes, recipe.n_labels, 3), np.uint8),
        masks=np.empty((n_scenes, height, width), np.bool_),
        characters=np.empty((n_scenes, recipe.n_characters), np.uint16),
        target_inks=np.empty((n_scenes, target_height, target_width), np.bool_),
        target_tints=np.empty((n_scenes, 3), np.uint8),
        target_characters=np.empty(n_scenes, np.uint16),
    )
    status, n_drawn = kernels.draw_scenes(
        pens.bits, pens.ink_boxes, first_drawer, end_drawer - first_drawer,
        recipe.clutter_level - 1, recipe.n_occluders, recipe.empty_share,
        open_stream(seed), kernels.allocate_workspace(),
        scenes.labels, scenes.palette, scenes.masks, scenes.characters,
        scenes.target_inks, scenes.target_tints, scenes.target_characters,
    )  # fmt: skip
    if status == kernels.GLYPH_TOO_LARGE:
        raise ParameterError(
            f"scene {n_drawn} of seed {seed} has a glyph larger than the scene of {width} x {height} pixels; "
            "96 x 96 holds every glyph."
        )
    if status == kernels.NOTHING_TO_DRAW:
        raise ParameterError(f"scene {n_drawn} of seed {seed} {TOO_LITTLE_INK}")
    return scenes


def render_targets(
    pens: Pens, recipe: SceneRecipe, characters: UInt16[np.ndarray, "n n_targets"], seed: int
) -> Targets:
    """Draw target images of the given characters as the recipe does, from a stream of their own."""
    target_width, target_height = recipe.target_size
    first_drawer, end_drawer = recipe.drawers
    inks = np.empty((*characters.shape, target_height, target_width), np.bool_)
    tints = np.empty((*characters.shape, 3), np.uint8)
    if not kernels.draw_targets(
        pens.bits, pens.ink_boxes, first_drawer, end_drawer - first_drawer, characters,
        open_stream(seed), kernels.allocate_workspace(), inks, tints,
    ):  # fmt: skip
        raise ParameterError(f"a target of seed {seed} {TOO_LITTLE_INK}")
    return Targets(inks, tints)


def job_seeds(split_seed: int, n_jobs: int) -> list[int]:
    """Draw the seeds of a split's jobs: the smaller half of 2 n_jobs sorted, distinct 32-bit draws."""
    draws = np.random.RandomState(split_seed).randint(0, 2**32, size=2 * n_jobs)
    return [int(seed) for seed in np.unique(draws)[:n_jobs]]
