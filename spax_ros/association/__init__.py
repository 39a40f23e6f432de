"""Gaussian-based trajectory association (GTA), usable with any detector."""

from spax_ros.association.motion_evidence import MotionEvidence
from spax_ros.association.tracker import AssociationSettings, GaussianTracker
from spax_ros.association.tracks import Tracks, TrackState

__all__ = ["AssociationSettings", "GaussianTracker", "MotionEvidence", "TrackState", "Tracks"]
