"""The channels of the settings."""

from __future__ import annotations

from flinkjobs.domain.errors import SettingsError
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.ports.channels import Channel
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.notify import ChannelSettings, ChannelType


def build_channels(settings: Settings) -> tuple[Channel, ...]:
    """Every channel; sends nothing yet.

    Raises:
        SettingsError: what the libraries do not accept, of all channels in one line.
    """
    channels: list[Channel] = []
    faults: list[str] = []
    for described in settings.notify_channels:
        try:
            channels.append(_channel(described, settings.page_url))
        except ValueError as error:
            faults.append(f"channel {described.name}: {error}")
    if faults:
        raise SettingsError("NOTIFY_CHANNELS has faults: " + "; ".join(faults))
    return tuple(channels)


def _channel(described: ChannelSettings, page_url: str | None) -> Channel:
    # Apprise takes seconds to be imported: only who has a chat waits for it.
    if described.type is ChannelType.CHAT:
        from flinkjobs.adapters.notify.chat import ChatChannel  # noqa: PLC0415

        return ChatChannel(described, page_url=page_url)
    from flinkjobs.adapters.notify.webhook import WebhookChannel  # noqa: PLC0415

    return WebhookChannel(described, page_url=page_url, clock=utc_now)
