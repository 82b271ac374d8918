"""The synchronisation pass over the open records."""
