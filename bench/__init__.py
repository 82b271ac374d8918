"""How long a pass takes, compared with the way it replaces and with the least that any program could do."""
