"""What the networks of both jobs share: layers that can be stacked, and common pieces."""
