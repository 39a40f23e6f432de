"""Write a source of frames of your own and save it as a recording that every tool here reads.

    python examples/custom_scene.py recording

Afterwards: `rstrack info recording`, `rstrack evaluate recording --tracker spax`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tracking_runtime import Frame, GroundTruth
from tracking_runtime.io.source_recorder import record_source


class RunwayScene:
    """One aircraft that accelerates along a runway: 40 frames of 200 x 120 pixels at 10 frames a second."""

    name = "runway"
    rate_hz = 10.0
    class_names = ("aircraft",)
    spectral_info = None

    def __len__(self) -> int:
        return 40

    def __iter__(self) -> Iterator[Frame]:
        ground = np.random.default_rng(0).normal(80, 4, (120, 200))
        for index in range(len(self)):
            x = 10 + 0.1 * index**2
            image = ground.copy()
            image[58:64, round(x) : round(x) + 9] = 220
            boxes = np.array([[round(x), 58.0, 9.0, 6.0]])
            truth = GroundTruth(ids=np.array([1]), class_ids=np.array([0], np.uint8), boxes=boxes)
            yield Frame(
                stamp_ns=(index + 1) * 100_000_000,
                image=image.astype(np.uint8),
                encoding="mono8",
                truth=truth,
            )


scene = RunwayScene()
for _ in record_source(scene, Path(sys.argv[1])):
    pass
print(f"{len(scene)} frames in {sys.argv[1]}")
