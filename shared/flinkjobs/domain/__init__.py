"""Records, observations and the rules about them. Pure: no I/O, no clock."""
