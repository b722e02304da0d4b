"""The Pulumi program: reads the settings, builds the stack, exports its outputs. No other module does any of these."""

import pulumi

from contracts.errors import UserError
from stack.deploy import plain_pulumi
from stack.program import build
from stack.settings.engine import from_engine, secrets_from_engine

try:
    settings = from_engine()
    plain_pulumi.check_before_update()
except UserError as error:
    # Pulumi prints a RunError without a traceback.
    raise pulumi.RunError(str(error)) from None

for name, value in build(settings, secrets_from_engine()).items():
    pulumi.export(name, value)
