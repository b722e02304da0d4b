"""Messages as a handler receives them."""

from service.common.kafka.received import Received
from service.common.messages import Outgoing


def received(message: Outgoing, offset: int = 0) -> Received:
    """The message as it arrives in partition 0."""
    return Received(headers=message.headers, value=message.value, topic=message.topic, partition=0, offset=offset)
