"""The ROS 2 side of the nodes: everything here may import rclpy."""
