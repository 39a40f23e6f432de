"""Options of a training run of HA-Net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracking_runtime.training.options import TrainingOptions

RUNS_FOLDER = Path("runs")
"""Folder of the runs' folders and of the training clips."""

PRESETS = ("hanet_edge", "hanet_r50")
"""Names of the networks with a recipe."""


@dataclass(frozen=True, kw_only=True)
class TrainHanetOptions(TrainingOptions):
    """Options of `train_hanet`.

    Attributes:
        preset: network and recipe, `hanet_edge` or `hanet_r50`. Ignored if a base model is refined.
        clips: folder of training clips. Missing clips are added from the simulator and from `data`.
        count: number of simulated clips that the folder has in the end.
        data: recordings that clips are cut from: folders of the HOT challenge, bags, folders of bags.
        photographs: folder of photographs; every fourth clip is composed of them. None uses none.
        rgb: name or path of a model whose RGB branch is used unchanged, so that only the spectral branch is
            trained; None trains both.
        camera: name of a known camera; the bands of the model are fixed to it. None fits any camera.
        workers: number of processes that prepare batches; 0 prepares them in the training process.
    """

    preset: str = "hanet_edge"
    clips: Path = RUNS_FOLDER / "hanet-clips"
    count: int = 1400
    data: tuple[Path, ...] = ()
    photographs: Path | None = None
    rgb: str | None = None
    camera: str | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if self.base_model is not None and self.rgb is not None:
            raise ValueError(
                "a model to refine (--from) has an RGB branch of its own: leave out rgb (--rgb), or --from"
            )


@dataclass(frozen=True, kw_only=True)
class TrainRgbOptions(TrainingOptions):
    """Options of `train_rgb`.

    Attributes:
        data: color videos with one target each, as folders of images: data sets or sequences.
        photographs: folders of photographs. A text file beside a photograph contains its objects, one per
            line, as fractions of the image: class, center x, center y, width, height (the format of YOLO).
            Photographs without such a file are used with random boxes.
        teacher: name or path of a model whose responses and boxes are learned beside the labels; None: labels
            only.
        light: True if the base model is first made lighter: a network with a quarter of its operations is
            fitted to it. The base model is then a teacher as well.
        workers: number of processes that prepare batches; 0 prepares them in the training process.
    """

    data: tuple[Path, ...] = ()
    photographs: tuple[Path, ...] = ()
    teacher: str | None = None
    light: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.data and not self.photographs:
            raise ValueError("data (--data) or photographs (--photographs) must be given: got none of both")
        if self.light and self.base_model is None:
            raise ValueError("a light network (--light) is fitted to a model: name it by base_model (--from)")
