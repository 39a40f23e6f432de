"""Material for the nodes around the trackers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

FRAMES = 12


@pytest.fixture
def sequence(tmp_path) -> Path:
    """A folder of twelve small frames with one moving object, its truth and bands."""
    folder = tmp_path / "sequence"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(FRAMES):
        image = rng.integers(0, 100, (48, 64), dtype=np.uint8)
        image[20:28, 4 * number : 4 * number + 8] = 255
        cv2.imwrite(str(folder / f"{number}.png"), image)
        rows.append(f"{4 * number} 20 8 8" if number != 5 else "-1 -1 -1 -1")
    (folder / "gt.txt").write_text("\n".join(rows))
    (folder / "spectral_info.yaml").write_text("wavelengths_nm: [500, 600, 700, 800]\nmosaic: [2, 2]\n")
    return folder
