"""What both trackers need: models, engines, frames, bags, reports, and the ROS 2 plumbing of their nodes."""
