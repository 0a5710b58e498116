"""What runs on a device, copied into each export."""
