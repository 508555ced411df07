"""What networks find in scenes changed as images of one's own are: other sizes, blended colours, JPEG.

`python -m bench.own_input` prints the table of docs/own_input.md: mean IoU of the first scenes of
test-one-shot.
"""

import argparse
import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from oneshot.clutter.scenes import Scenes
from oneshot.library import DEFAULT_MATCHER, load_network, load_scenes
from oneshot.segment.own_scenes import find_target

NETWORKS = (DEFAULT_MATCHER, "siamese_unet-joint-fast-24")
LEVELS = (4, 32)
NEAREST, BICUBIC, LANCZOS = Image.Resampling.NEAREST, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
FULL_COLOUR, HALF_COLOUR = 0, 2  # JPEG's subsampling, as Pillow numbers it

Change = Callable[[Image.Image], Image.Image]


def put_on(width: int, height: int) -> Change:
    def put(image: Image.Image) -> Image.Image:
        canvas = Image.new(image.mode, (width, height))
        canvas.paste(image, ((width - image.width) // 3, (height - image.height) // 3))
        return canvas

    return put


def cut_to(width: int, height: int) -> Change:
    return lambda image: image.crop((0, 0, width, height))


def scale(factor: float, method: Image.Resampling = NEAREST) -> Change:
    def resize(image: Image.Image) -> Image.Image:
        size = round(image.width * factor), round(image.height * factor)
        return image.resize(size, NEAREST if image.mode == "L" else method)  # a mask keeps its two values

    return resize


def save_as_jpeg(subsampling: int) -> Change:
    def save(image: Image.Image) -> Image.Image:
        if image.mode == "L":
            return image
        with io.BytesIO() as file:
            image.save(file, "JPEG", quality=90, subsampling=subsampling)
            return Image.open(file).convert("RGB")

    return save


def whiten(image: Image.Image) -> Image.Image:
    """Make the black background white."""
    if image.mode == "L":
        return image
    pixels = np.array(image)
    pixels[(pixels == 0).all(2)] = 255
    return Image.fromarray(pixels)


CHANGES: dict[str, tuple[Change, ...]] = {
    "as it is": (),
    "in a canvas of 200 x 300": (put_on(300, 200),),
    "in 100 x 120": (put_on(120, 100),),
    "cut to 70 x 80": (cut_to(80, 70),),
    "enlarged twice": (scale(2),),
    "enlarged by 1.5": (scale(1.5),),
    "reduced to three quarters": (scale(0.75),),
    "white background": (whiten,),
    "anti-aliased at 2.3 times the size": (scale(4), scale(2.3 / 4, LANCZOS)),
    "enlarged twice, bicubic": (scale(2, BICUBIC),),
    "JPEG, quality 90, full colour": (save_as_jpeg(FULL_COLOUR),),
    "JPEG, quality 90, colour at half resolution": (save_as_jpeg(HALF_COLOUR),),
    "the same, enlarged three times first": (scale(3), save_as_jpeg(HALF_COLOUR)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--scenes", type=int, default=25, help="of each clutter level")
    arguments = parser.parse_args()
    sets = {level: load_scenes("test-one-shot", level, arguments.scenes) for level in LEVELS}
    columns = [(network, level) for network in NETWORKS for level in LEVELS]
    print("| image |" + "".join(f" {network}, {level} characters |" for network, level in columns))
    print("|---|" + "---:|" * len(columns))
    for name, changes in CHANGES.items():
        found = [mean_iou(network, sets[level], changes) for network, level in columns]
        print(f"| {name} |" + "".join(f" {iou:.2f} |" for iou in found), flush=True)


def mean_iou(network: str, scenes: Scenes, changes: tuple[Change, ...]) -> float:
    net, _ = load_network(network)
    ious = []
    for pixels, target, true in zip(scenes.images(), scenes.targets(), scenes.masks, strict=True):
        image, mask = Image.fromarray(pixels), Image.fromarray(np.uint8(255) * true)
        for change in changes:
            image, mask = change(image), change(mask)
        ious.append(iou_of(find_target(net, network, np.asarray(image), target).mask, np.asarray(mask) > 0))
    return float(np.mean(ious))


def iou_of(found: Bool[np.ndarray, "h w"], true: Bool[np.ndarray, "h w"]) -> float:
    """Give the IoU of two masks: 1 if both are empty."""
    union = (found | true).sum()
    return float((found & true).sum() / union) if union else 1.0


if __name__ == "__main__":
    main()
