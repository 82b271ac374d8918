"""MongoDB, through the official driver."""
