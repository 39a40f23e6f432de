"""Subcommands of ``rstrack`` that need neither tracker."""
