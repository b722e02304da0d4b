"""How a check says what is broken."""

from contracts.errors import UserError


class SmokeFailure(UserError):
    """A hop that is missing, with the command or query to look at next."""

    def __init__(self, what: str, look_at: str) -> None:
        super().__init__(f"{what}\n  look at: {look_at}")
        self.what = what
        self.look_at = look_at
