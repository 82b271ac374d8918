"""Events of moves, delivered to the channels that the settings name."""
