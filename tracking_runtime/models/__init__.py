"""Models on disk: manifests, weights and checkpoints."""
