"""Commands that answer to images of one's own: `find` and `classify`, and the pictures of their answers."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from oneshot.commands.common import Commands
from oneshot.errors import ParameterError
from oneshot.files import replacing
from oneshot.library import DEFAULT_CLASSIFIER, DEFAULT_MATCHER, classify, find
from oneshot.omniglot.image_folder import name_classes, read_pixels

if TYPE_CHECKING:
    from oneshot.classify.own_drawings import Ranking
    from oneshot.segment.own_scenes import Found

PICTURE_SIDE, TILE_SIDE = 480, 96  # pixels: of a scene, of a drawing
SPACE, LINE = 16, 18  # of a margin, of a line of words
SHEET, LETTERING, MARKED, REFUSED = (16, 19, 26), (242, 240, 232), (61, 220, 151), (255, 89, 100)
DIMMING = 0.35  # brightness of what is not marked
N_SHOWN, N_PRINTED = 5, 5  # classes of a query
MOST_ROWS = 40  # queries of a picture


def add_commands(commands: Commands) -> None:
    """Add `find` and `classify` to the commands of `python -m oneshot`."""
    one = commands.add_parser("find", help=find_in_image.__doc__, description=find_in_image.__doc__)
    one.set_defaults(run=find_in_image)
    one.add_argument("scene", type=Path, help="an image of any size and format")
    one.add_argument("target", type=Path, help="an image of what to find")
    one.add_argument(
        "--network", default=DEFAULT_MATCHER, help=f"a released one (default: {DEFAULT_MATCHER})"
    )

    other = commands.add_parser("classify", help=classify_images.__doc__, description=classify_images.__doc__)
    other.set_defaults(run=classify_images)
    other.add_argument("query", type=Path, nargs="+", help="images, or one folder of them")
    other.add_argument("support", type=Path, help="a folder with one sub-folder of images for each class")
    other.add_argument("--network", default=DEFAULT_CLASSIFIER, help=f"default: {DEFAULT_CLASSIFIER}")
    other.add_argument(
        "--reject-below", type=parse_threshold, metavar="X|auto",
        help="answer that it is none of these if the best score is lower; auto: a threshold chosen on "
        "validation pairs",
    )  # fmt: skip
    for command in (one, other):
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument("--picture", type=Path, metavar="OUT.png", help="draw the answer")


def parse_threshold(text: str) -> float | Literal["auto"]:
    """Parse a number, or auto."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto") from None


def find_in_image(arguments: argparse.Namespace) -> None:
    """Find what one image shows in another: its box, and how sure the network is."""
    found = find(arguments.scene, arguments.target, arguments.network)
    if arguments.picture:
        scene, target = read_pixels(arguments.scene), read_pixels(arguments.target)
        save_picture(arguments.picture, draw_found(scene, target, found))
    if arguments.json:
        n_pixels = int(found.mask.sum())
        described = {"box": found.box, "n_pixels": n_pixels, "score": found.score, "network": found.network}
        print(json.dumps(described))
    elif found.box is None:
        print(f"nothing found by {found.network}")
    else:
        print("left {} top {} right {} bottom {}".format(*found.box), f"score {found.score:.3f}")


def classify_images(arguments: argparse.Namespace) -> None:
    """Rank classes by their likeness to images."""
    folders = [path for path in arguments.query if path.is_dir()]
    if folders and len(arguments.query) > 1:
        raise ParameterError(f"{str(folders[0])!r} is a folder: give one folder, or only images, as queries.")
    queries = folders[0] if folders else arguments.query
    support = name_classes(arguments.support)
    rankings = classify(queries, support, arguments.network, arguments.reject_below)
    if arguments.picture:
        save_picture(arguments.picture, draw_rankings(rankings[:MOST_ROWS], support))
    if arguments.json:
        print(json.dumps([asdict(ranking) for ranking in rankings]))
        return
    print(f"scores: {rankings[0].score_name}")
    for ranking in rankings:
        best = zip(ranking.classes[:N_PRINTED], ranking.scores, strict=False)
        listed = ", ".join(f"{name} {score:.3f}" for name, score in best)
        print(f"{ranking.query}: {'none of these; most alike: ' if ranking.rejected else ''}{listed}")


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG, whole or not at all."""
    with replacing(path) as file:
        picture.save(file, "PNG")


def draw_found(
    scene: UInt8[np.ndarray, "h w 3"], target: UInt8[np.ndarray, "th tw 3"], found: "Found"
) -> Image.Image:
    """Draw the scene, the same dimmed with the mask in green, its box, and the target beside them."""
    height, width = scene.shape[:2]
    scale = PICTURE_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    dimmed = np.where(found.mask[..., None], np.array(MARKED, np.uint8), (scene * DIMMING).astype(np.uint8))
    small = scale_to(target, TILE_SIDE * 2)
    columns = [SPACE, 2 * SPACE + size[0], 3 * SPACE + 2 * size[0]]
    sheet = Image.new(
        "RGB", (columns[2] + small.width + SPACE, 2 * SPACE + LINE + max(size[1], small.height)), SHEET
    )
    pen, top = ImageDraw.Draw(sheet), SPACE + LINE
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    for column, pixels in zip(columns[:2], (scene, dimmed), strict=True):
        sheet.paste(Image.fromarray(pixels).resize(size, how), (column, top))
    sheet.paste(small, (columns[2], top))
    if found.box:
        left, upper, right, lower = (round(end * scale) for end in found.box)
        for column in columns[:2]:
            box = (column + left - 3, top + upper - 3, column + right + 2, top + lower + 2)
            pen.rectangle(box, outline=MARKED, width=2)
    answer = f"{found.network}: score {found.score:.3f}" if found.box else f"{found.network}: nothing found"
    for column, words in zip(columns, ("scene", answer, "target"), strict=True):
        pen.text((column, SPACE - 4), words, LETTERING, ImageFont.load_default(13))
    return sheet


def draw_rankings(rankings: Sequence["Ranking"], support: Mapping[str, Sequence[Path]]) -> Image.Image:
    """Draw a row for every query: itself, then the first image of each of its best classes with its score."""
    n_shown = min(N_SHOWN, len(support))
    step, row = TILE_SIDE + SPACE, TILE_SIDE + 2 * LINE + SPACE
    sheet = Image.new("RGB", (2 * SPACE + step * (n_shown + 1), SPACE + row * len(rankings)), SHEET)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)

    def show(column: int, top: int, path: Path, words: Sequence[str], colour: tuple[int, int, int]) -> None:
        tile = scale_to(read_pixels(path), TILE_SIDE)
        middle = (TILE_SIDE - tile.width) // 2, (TILE_SIDE - tile.height) // 2
        sheet.paste(tile, (column + middle[0], top + middle[1]))
        for number, text in enumerate(words):
            while len(text) > 1 and pen.textlength(text, font) > TILE_SIDE + SPACE // 2:
                text = text.removesuffix("…")[:-1] + "…"
            pen.text((column, top + TILE_SIDE + 2 + number * LINE), text, colour, font)

    for number, ranking in enumerate(rankings):
        top = SPACE + row * number
        said = ["query", "none of these"] if ranking.rejected else ["query"]
        show(SPACE, top, Path(ranking.query), said, REFUSED if ranking.rejected else LETTERING)
        best = zip(ranking.classes[:n_shown], ranking.scores, strict=False)
        for place, (name, score) in enumerate(best):
            first = place == 0 and not ranking.rejected
            left = 2 * SPACE + step * (place + 1)
            show(left, top, support[name][0], [name, f"{score:.3f}"], MARKED if first else LETTERING)
    return sheet


def scale_to(pixels: UInt8[np.ndarray, "h w 3"], side: int) -> Image.Image:
    """Scale an image so that its longer side is `side`: enlarged pixel by pixel, shrunk by means."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize((max(1, round(width * scale)), max(1, round(height * scale))), how)
