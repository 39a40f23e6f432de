"""Motion mask: registration, background and contrast of a frame."""

from spax_ros.motion.mask import MotionMask, MotionResult, MotionSettings

__all__ = ["MotionMask", "MotionResult", "MotionSettings"]
