"""What a deployment is made of: the pinned requirements, and a folder per function with what it needs."""
