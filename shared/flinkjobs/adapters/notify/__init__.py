"""Channels: signed webhooks over httpx, and chat services over Apprise."""
