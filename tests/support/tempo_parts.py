"""The parts of the real Tempo that use Kafka, as processes with the stack's configuration."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import endpoints
from stack.components.trace_store.config import TEMPO_DATA, distributed_config
from stack.components.trace_store.settings import Traces

_HOST: Final = "127.0.0.1"
_PARTS: Final = ("live-store", "distributor", "block-builder")


@dataclass(frozen=True)
class TempoParts:
    """Tempo's distributor, live store and block builder."""

    otlp: str
    """host:port of the distributor's receiver."""
    _live_store: str
    _blocks: Path

    def spans_read(self) -> int:
        """How many records of Kafka the live store has read."""
        lines = httpx.get(f"{self._live_store}/metrics", timeout=10).text.splitlines()
        values = [
            line.rsplit(" ", 1)[1] for line in lines if line.startswith("tempo_live_store_records_processed_total")
        ]
        return int(sum(map(float, values)))

    def blocks(self) -> int:
        """How many blocks the block builder has written."""
        return len([*self._blocks.rglob("meta.json")])


@contextmanager
def tempo_parts(binary: str, brokers: str, folder: Path) -> Iterator[TempoParts]:
    """Runs the parts.

    Args:
        binary: of Tempo.
        brokers: host:port at which they ask for Kafka's brokers.
        folder: of their files.
    """
    common = distributed_config(Traces.model_validate({"objectStorage": _NOT_USED, "distributed": {}}), "48h", brokers)
    blocks, gossip = folder / "blocks", {part: free_port() for part in _PARTS}
    common["storage"]["trace"] |= {"backend": "local", "local": {"path": str(blocks)}}
    common["storage"]["trace"].pop("s3")
    otlp = f"{_HOST}:{free_port()}"
    urls: dict[str, str] = {}
    with ExitStack() as stack:
        for part in _PARTS:
            http, grpc = free_port(), free_port()
            config = deepcopy(common)
            config["server"] |= {
                "http_listen_address": _HOST,
                "http_listen_port": http,
                "grpc_listen_address": _HOST,
                "grpc_listen_port": grpc,
            }
            config["memberlist"] |= {
                "bind_addr": [_HOST],
                "bind_port": gossip[part],
                "join_members": [f"{_HOST}:{gossip['live-store']}"],
            }
            config["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = otlp
            config["distributor"]["ring"] = {"instance_addr": _HOST}
            config["live_store"] |= {
                "ring": {
                    "instance_id": f"{endpoints.TEMPO_LIVE_STORE}-0",
                    "instance_addr": _HOST,
                    "instance_port": grpc,
                }
            }
            config["block_builder"] |= {
                "instance_id": f"{endpoints.TEMPO_BLOCK_BUILDER}-0",
                "consume_cycle_duration": "5s",
            }
            urls[part] = f"http://{_HOST}:{http}"
            process = _process(binary, part, config, folder, urls[part])
            stack.callback(process.kill)
            process.start()
        yield TempoParts(otlp, urls["live-store"], blocks)


_NOT_USED: Final = {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}
"""The settings want a bucket; the blocks of the tests are on the disk."""


def _process(binary: str, part: str, config: dict[str, Any], folder: Path, url: str) -> ServerProcess:
    own = folder / part
    own.mkdir(parents=True)
    file = own / "tempo.yaml"
    file.write_text(yaml.safe_dump(config).replace(TEMPO_DATA, str(own / "data")).replace("/tmp/wal", str(own / "wal")))
    command = [binary, f"-config.file={file}", f"-target={part}"]
    return ServerProcess(f"tempo-{part}", command, own, lambda: answers(f"{url}/ready"))
