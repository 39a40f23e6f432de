"""SPAX: finding and following every moving object in satellite video."""

import tracking_runtime as _settings_of_the_process  # noqa: F401  before PyTorch
