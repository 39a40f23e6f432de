"""Checks of files and messages that are not trusted. Every other folder may import this one."""
