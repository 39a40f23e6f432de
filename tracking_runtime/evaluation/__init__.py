"""Scores that can be believed: metrics, replay of trackers over recordings, many at once, comparison."""
