"""The channels of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    kinds = {channel.type for channel in settings.notify_channels}
    builders = {kind: _BUILDERS[kind](settings.page_url) for kind in kinds}
    channels: list[Channel] = []
    faults: list[str] = []
    for described in settings.notify_channels:
        try:
            channels.append(builders[described.type](described))
        except ValueError as error:
            faults.append(f"channel {described.name}: {error}")
    if faults:
        raise SettingsError("NOTIFY_CHANNELS has faults: " + "; ".join(faults))
    return tuple(channels)


def _webhooks(page_url: str | None) -> Callable[[ChannelSettings], Channel]:
    from flinkjobs.adapters.notify import webhook  # noqa: PLC0415

    client = webhook.new_client()
    return lambda each: webhook.WebhookChannel(each, client=client, page_url=page_url, clock=utc_now)


def _chats(page_url: str | None) -> Callable[[ChannelSettings], Channel]:
    # Apprise takes seconds to be imported: only who has a chat waits for it.
    from flinkjobs.adapters.notify import chat  # noqa: PLC0415

    return lambda each: chat.ChatChannel(each, page_url=page_url)


_BUILDERS: Mapping[ChannelType, Callable[[str | None], Callable[[ChannelSettings], Channel]]] = {
    ChannelType.WEBHOOK: _webhooks,
    ChannelType.CHAT: _chats,
}
