"""ROS messages without a ROS installation."""
