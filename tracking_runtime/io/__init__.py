"""Sources of frames, text and temporary files."""
