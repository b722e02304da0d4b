"""Requests to servers of this machine.

One client makes them all. `httpx.get` makes a client for each request, which reads the certificates of all authorities
and so takes 25 ms of CPU, most of the cost of a wait that asks 20 times a second.
"""

from typing import Final

import httpx

# A connection that stays open would fail with the next request if its server has been started again since.
CLIENT: Final = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=10, trust_env=False)
