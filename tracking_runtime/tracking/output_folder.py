"""The folder of the results of `rstrack track`: never mixed with other files by accident."""

from __future__ import annotations

import os
from pathlib import Path

from tracking_runtime.errors import SourceError
from tracking_runtime.tracking.track_files import CSV_FILE, JSON_LINES_FILE, MOT_FILE

OVERLAY_FILE = "overlay.mp4"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
GEOJSON_FILE = "tracks.geojson"
KML_FILE = "tracks.kml"

FILE_NAMES = (
    MOT_FILE,
    CSV_FILE,
    JSON_LINES_FILE,
    OVERLAY_FILE,
    SUMMARY_FILE,
    REPORT_FILE,
    GEOJSON_FILE,
    KML_FILE,
)


class OutputFolder:
    """A folder for the files of one run.

    Args:
        path: folder. It must not exist, or be empty.
        overwrites: True accepts a folder with files, and replaces those of an earlier run.

    Raises:
        SourceError: the folder contains files that must not be overwritten, or cannot be used.
    """

    def __init__(self, path: Path, *, overwrites: bool) -> None:
        self.path = path
        self._missing_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            entries = os.listdir(path) if path.exists() else []
        except OSError as error:
            raise SourceError(f"{path} must be a folder: {error.strerror}; choose another -o") from error
        if entries and not overwrites:
            raise SourceError(
                f"{path} must be empty: got {len(entries)} files, as {min(entries)}; choose another folder "
                "by -o, or add --overwrite"
            )

    def create(self) -> None:
        """Create the folder, and remove the files of an earlier run.

        Raises:
            SourceError: the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._remove_files()
        except OSError as error:
            raise SourceError(
                f"{self.path} cannot be written: {error.strerror}; choose another -o"
            ) from error

    def remove(self) -> None:
        """Remove the files of this run, and the folders that `create` made."""
        self._remove_files()
        for folder in self._missing_folders:
            try:
                folder.rmdir()
            except OSError:  # the folder does not exist, or contains other files
                return

    def _remove_files(self) -> None:
        for name in FILE_NAMES:
            (self.path / name).unlink(missing_ok=True)
