"""Results of finished videos on disk, from which a run can be resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracking_runtime.evaluation.video_scores import VideoScores
from tracking_runtime.files import atomic_write
from tracking_runtime.io.json_data import to_json_data
from tracking_runtime.untrusted.files import read_file


@dataclass(frozen=True)
class VideoResult:
    """Result of one job.

    Attributes:
        name: name of the job.
        fingerprint: fingerprint of the job.
        error: reason of a failure; empty if the video is scored.
        scores: scores of the video; None after a failure.
        speed: number of frames and dropped frames, seconds, tracking_seconds and scoring_seconds; empty if no
            tracker ran.
        tracker_info: description of the tracker: model, sha256 of its weights, engine.
        picture: picture of the worst frame, relative to the run's folder; empty without a picture.
        caption: caption of the picture.
        notes: notes about the input: rows left out, frames without an image, clipped pixels.
    """

    name: str
    fingerprint: str
    error: str = ""
    scores: VideoScores | None = None
    speed: Mapping[str, float] = field(default_factory=dict)
    tracker_info: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""
    caption: str = ""
    notes: tuple[str, ...] = ()


def make_file_stem(job_name: str) -> str:
    """Return the stem of a job's files."""
    return re.sub(r"[^\w.@+-]+", "_", job_name)


def write_result(folder: Path, result: VideoResult) -> None:
    """Write the result of a job atomically into the folder of its run, which is created."""
    content = {
        "name": result.name,
        "fingerprint": result.fingerprint,
        "error": result.error,
        "scores": result.scores.to_json() if result.scores else None,
        "speed": to_json_data(result.speed),
        "ran": to_json_data(result.tracker_info),
        "picture": result.picture,
        "caption": result.caption,
        "notes": list(result.notes),
    }
    path = _get_result_path(folder, result.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_result(folder: Path, name: str) -> VideoResult:
    """Read the result of a job.

    Args:
        folder: folder of the run.
        name: name of the job.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not JSON.
        KeyError: a key is missing.
    """
    content: dict[str, Any] = json.loads(read_file(_get_result_path(folder, name)))
    return VideoResult(
        name=content["name"],
        fingerprint=content["fingerprint"],
        error=content["error"],
        scores=VideoScores.from_json(content["scores"]) if content["scores"] else None,
        speed=content["speed"],
        tracker_info=content["ran"],
        picture=content["picture"],
        caption=content["caption"],
        notes=tuple(content.get("notes", ())),
    )


def find_finished_result(folder: Path, name: str, fingerprint: str) -> VideoResult | None:
    """Return the result of a finished job; None if the job is new, has failed, or has changed since.

    Args:
        folder: folder of the run.
        name: name of the job.
        fingerprint: fingerprint that the result must have.
    """
    try:
        result = read_result(folder, name)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if result.fingerprint == fingerprint and not result.error else None


def _get_result_path(folder: Path, name: str) -> Path:
    return folder / "videos" / f"{make_file_stem(name)}.json"
