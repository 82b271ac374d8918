"""How long a pass takes, beside the way it replaces and beside the least that any program could do."""
