"""The scenarios of `rstrack demo` and their runner."""
