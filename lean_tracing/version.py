"""The library's name and version, which its spans carry."""

from typing import Final

NAME: Final = "lean-tracing"
VERSION: Final = "0.1.0"
