"""ROS 2 side of the runtime: modules that may import rclpy."""
