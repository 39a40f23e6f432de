"""Contents of the launch files."""
