"""Base of all nodes: lifecycle, parameters, diagnostics, QoS."""
