"""A recorded run of a tiny network in its folder, as the recorder leaves and adopts it."""

from pathlib import Path

import numpy as np

from oneshot.segment.nets.siamese_unet import SiameseUNet
from tests.fake_runs import fake_run, fake_scores, put_run


def release_segmentation(recorded: Path, level: int) -> Path:
    """Put an untrained network of 2 feature maps and its record under a folder; give that of the run."""
    scores = fake_scores((level,), 0.6)
    net = SiameseUNet(2).initialise(np.random.default_rng(0))
    folder = recorded / "segmentation" / f"siamese_unet-{level}-fast"
    folder.mkdir(parents=True)
    put_run(recorded, fake_run(f"siamese_unet-{level}", scores=scores), scores, net, {"feature_maps": 2})
    return folder
