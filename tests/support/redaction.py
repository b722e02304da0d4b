"""Examples of secrets, for the tests of the library's redaction and of the Collector's."""

import json
from pathlib import Path
from typing import Final

NAMES: Final[dict[str, list[str]]] = json.loads(Path(__file__).with_name("names.json").read_text())
"""Names of values, by what becomes of the values: secret, typed, email, harmless."""

SIGNED_URLS: Final = [
    "https://b.s3.example/o?X-Amz-Credential=PLANTED%2F2026&X-Amz-Date=1&X-Amz-Signature=PLANTED",
    "https://b.s3.example/o?X-Amz-Security-Token=PLANTED&page=2",
    "https://storage.example/o?X-Goog-Credential=PLANTED&X-Goog-Signature=PLANTED",
    "https://b.s3.example/o?AWSAccessKeyId=PLANTED&Signature=PLANTED&Expires=1",
    "https://a.blob.example/c?sv=2026&sig=PLANTED&se=1",
    "https://shop.example/verify/7?expires=1&signature=PLANTED",
]
