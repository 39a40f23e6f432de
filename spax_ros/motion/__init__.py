"""Motion mask: registration, background and contrast of a frame."""
