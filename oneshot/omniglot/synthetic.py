"""Alphabets that the project draws itself: free of licences, shaped like Omniglot, for tests and demos.

An alphabet has a style: the places its strokes run between, and which kinds of stroke it prefers. A character
is 1 to 4 strokes, each a cubic spline through a few points. A drawer has a hand (slant, size, pen, wobble),
and no two drawings are alike. Lengths are in units of a character's box, about 1 high, x to the right and y
down, until a drawing is placed on its 105 x 105 pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from oneshot.omniglot.drawings import N_DRAWERS, SIDE, Drawings, pack_rows

STROKE_KINDS = ("line", "corner", "arc", "wave", "loop", "hook")
N_STROKES_SHARES = ((0.1, 0.45, 0.35, 0.1), (0.3, 0.4, 0.25, 0.05), (0.05, 0.25, 0.4, 0.3))  # for 1, 2, 3, 4
SHORTEST = 1.5  # total length of a character's strokes; shorter ones look alike
NARROWEST = 0.4  # width and height of a character, for the same reason
UNIT = 52.0  # pixels to the unit
PEN_RADIUS = (2.05, 2.55)  # pixels; Omniglot's pen is 4 to 5 pixels wide
POINT_SPACING = 1.0  # pixels, about, between the pen's positions on a stroke
PEN_MARGIN = 3  # pixels: where the pen does not go, around a drawing, and no less than its radius

Point = Float[np.ndarray, "2"]  # x, y
Stroke = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True)
class AlphabetStyle:
    """Style of an alphabet's characters. anchors: (n, 2) as x, y; kinds: share of each of STROKE_KINDS."""

    anchors: Float[np.ndarray, "n 2"]
    kinds: Float[np.ndarray, "6"]
    n_strokes: Float[np.ndarray, "4"]
    bulge: float  # height of an arc, in its chord's length
    joined: float  # share of strokes that begin where an earlier one passes


@dataclass(frozen=True)
class Hands:
    """Handwriting of an alphabet's 20 drawers.

    linear: (x, y) to (x, y); pen: radius, pixels; wobble, shift: standard deviations, units and pixels.
    """

    linear: Float[np.ndarray, "20 2 2"]
    pen: Float[np.ndarray, "20"]
    wobble: Float[np.ndarray, "20"]
    shift: Float[np.ndarray, "20"]


def draw_alphabets(rng: np.random.Generator, n_alphabets: Mapping[str, int], n_characters: int) -> Drawings:
    """Draw alphabets of n_characters each; n_alphabets: how many a character set, such as {"train": 6}.

    Each alphabet has a generator of its own, spawned from rng: it does not depend on how many follow.
    """
    character_sets = [name for name, count in n_alphabets.items() for _ in range(count)]
    alphabets = [draw_alphabet(alphabet_rng, n_characters) for alphabet_rng in rng.spawn(len(character_sets))]
    numbers = range(1, n_characters + 1)
    return Drawings(
        bits=pack_rows(np.concatenate(alphabets)),
        character_sets=np.repeat(character_sets, n_characters),
        alphabets=np.repeat([f"Synthetic_{i:02d}" for i in range(1, len(alphabets) + 1)], n_characters),
        characters=np.array([f"character{i:02d}" for i in numbers] * len(alphabets)),
        prefixes=np.array([f"{i:04d}" for i in range(1, len(alphabets) * n_characters + 1)]),
        source="synthetic",
    )


def draw_alphabet(rng: np.random.Generator, n_characters: int) -> UInt8[np.ndarray, "characters 20 105 105"]:
    """Draw one alphabet in a style of its own, by 20 drawers; ink 1, paper 0."""
    style, hands = draw_style(rng), draw_hands(rng)
    pixels = [write_character(rng, draw_character(rng, style), hands) for _ in range(n_characters)]
    return np.stack(pixels).astype(np.uint8)


def draw_style(rng: np.random.Generator) -> AlphabetStyle:
    """Draw an uneven grid of anchors, 2 or 3 wide and 3 or 4 high, and preferences for some strokes."""
    columns = np.linspace(-0.5, 0.5, rng.integers(2, 4)) * rng.uniform(0.75, 1.15)
    rows = np.linspace(-0.5, 0.5, rng.integers(3, 5)) * rng.uniform(0.85, 1.1)
    anchors = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    return AlphabetStyle(
        anchors=anchors + rng.normal(0, 0.04, anchors.shape),
        kinds=rng.dirichlet(np.full(len(STROKE_KINDS), 0.9)),
        n_strokes=np.array(N_STROKES_SHARES[rng.integers(len(N_STROKES_SHARES))]),
        bulge=rng.uniform(0.25, 0.6),
        joined=rng.uniform(0.5, 0.95),
    )


def draw_hands(rng: np.random.Generator) -> Hands:
    """Draw 20 handwritings: slanted, turned, large or small, wide or narrow, steady or not."""
    size = rng.normal(1.0, 0.13, N_DRAWERS).clip(0.65, 1.35)
    aspect = np.exp(rng.normal(0, 0.08, N_DRAWERS))
    slant, turn = rng.normal(0, 0.12, N_DRAWERS), rng.normal(0, 0.05, N_DRAWERS)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    shear = np.stack([np.stack([size * aspect, -slant], -1), np.stack([0 * size, size / aspect], -1)], -2)
    return Hands(
        linear=rotation @ shear,
        pen=rng.uniform(*PEN_RADIUS, N_DRAWERS),
        wobble=rng.uniform(0.015, 0.04, N_DRAWERS),
        shift=rng.uniform(2.0, 6.0, N_DRAWERS),
    )


def draw_character(rng: np.random.Generator, style: AlphabetStyle) -> list[Stroke]:
    """Draw 1 to 4 strokes, each as points that a spline runs through, and not too small to be recognised."""
    while True:
        strokes: list[Stroke] = []
        free = list(rng.permutation(style.anchors))
        for _ in range(rng.choice(4, p=style.n_strokes) + 1):
            start = free[0]
            if strokes and rng.random() < style.joined:
                earlier = strokes[rng.integers(len(strokes))]
                start = earlier[rng.integers(len(earlier))]
            # Anchors used once go to the end of the line: strokes seldom run over one another.
            free.sort(key=lambda anchor: np.linalg.norm(anchor - start) < 0.3)
            strokes.append(draw_stroke(rng, style, start, *free[:3]))
            free = free[3:] + free[:3]
        extent = np.ptp(np.concatenate(strokes), axis=0)
        lengths = [float(np.linalg.norm(np.diff(stroke, axis=0), axis=1).sum()) for stroke in strokes]
        if sum(lengths) >= SHORTEST and extent.min() >= NARROWEST:
            return strokes


def draw_stroke(
    rng: np.random.Generator, style: AlphabetStyle, start: Point, first: Point, second: Point, third: Point
) -> Stroke:
    """Draw one stroke of a kind that the alphabet prefers, from `start` to one or more of the anchors."""
    along = first - start
    side = rng.choice([-1.0, 1.0])
    across = side * style.bulge * np.array([-along[1], along[0]])
    kind = rng.choice(STROKE_KINDS, p=style.kinds)
    if kind == "line":
        points = [start, first]
    elif kind == "corner":
        # Points close to the corner on both sides keep the spline from cutting it.
        after = second - first
        points = [start, first - 0.5 * along, first - 0.1 * along, first, first + 0.1 * after]
        points += [first + 0.5 * after, second]
    elif kind == "arc":
        points = [start, start + along / 2 + across, first]
    elif kind == "wave":
        points = [start, first, second, third][: rng.integers(3, 5)]
    elif kind == "hook":
        points = [start, start + 0.6 * along, first, first - 0.3 * along + 0.8 * across]
    else:
        radius = along / np.linalg.norm(along) * rng.uniform(0.16, 0.34)
        turned = np.array([-radius[1], radius[0]])
        angles = np.linspace(0, side * rng.uniform(1.8, 2.1) * np.pi, 7)
        points = [start + radius - np.cos(angle) * radius - np.sin(angle) * turned for angle in angles]
    return np.stack(points)


def write_character(
    rng: np.random.Generator, strokes: list[Stroke], hands: Hands
) -> Bool[np.ndarray, "20 105 105"]:
    """Write one character by all 20 drawers: True is ink."""
    corners = np.concatenate(strokes)
    middle = (corners.min(0) + corners.max(0)) / 2
    paths = np.concatenate([vary(rng, stroke - middle, hands) for stroke in strokes], axis=1)
    pixels = UNIT * np.einsum("dij,dpj->dpi", hands.linear, paths)
    pixels += (SIDE - 1) / 2 + rng.normal(0, 1, (N_DRAWERS, 1, 2)) * hands.shift[:, None, None]
    return ink_under_pen(pixels.clip(PEN_MARGIN, SIDE - 1 - PEN_MARGIN), hands.pen)


def vary(rng: np.random.Generator, stroke: Stroke, hands: Hands) -> Float[np.ndarray, "20 positions 2"]:
    """Move the pen along one stroke in each drawer's handwriting: shifted, scaled and wobbly by a little."""
    # Here, since it loads slowly and only synthetic alphabets need it.
    from scipy.interpolate import CubicSpline

    chords = np.concatenate([[0], np.linalg.norm(np.diff(stroke, axis=0), axis=1).cumsum()])
    length = chords[-1]
    # A stroke is up to 1.6 times as long as its chords.
    along = np.linspace(0, length, int(1.6 * length * UNIT / POINT_SPACING))
    plain = CubicSpline(chords, stroke, bc_type="natural" if len(stroke) > 2 else "not-a-knot")(along)
    wobble = hands.wobble[:, None, None]
    knots = np.linspace(0, length, int(3 + 2.5 * length))
    waves = CubicSpline(knots, wobble * rng.normal(0, 1, (N_DRAWERS, len(knots), 2)), axis=1)(along)
    scale = 1 + 2.5 * wobble * rng.normal(0, 1, (N_DRAWERS, 1, 2))
    moved = wobble * rng.normal(0, 1, (N_DRAWERS, 1, 2))
    middle = plain.mean(0)
    return middle + (plain - middle) * scale + moved + waves


def ink_under_pen(
    pixels: Float[np.ndarray, "20 positions 2"], pen: Float[np.ndarray, "20"]
) -> Bool[np.ndarray, "20 105 105"]:
    """Mark every pixel whose centre lies under the round pen at one of its positions (x, y)."""
    nearest = np.rint(pixels).astype(int)
    drawer = np.arange(N_DRAWERS)[:, None]
    pen_squared = pen[:, None] ** 2
    ink = np.zeros((N_DRAWERS, SIDE, SIDE), bool)
    for right in range(-PEN_MARGIN, PEN_MARGIN + 1):
        for down in range(-PEN_MARGIN, PEN_MARGIN + 1):
            column, row = nearest[..., 0] + right, nearest[..., 1] + down
            under = (column - pixels[..., 0]) ** 2 + (row - pixels[..., 1]) ** 2 <= pen_squared
            ink[np.broadcast_to(drawer, under.shape)[under], row[under], column[under]] = True
    return ink
