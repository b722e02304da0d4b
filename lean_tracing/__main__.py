"""`python -m lean_tracing`: prints the variables of the settings, and whether the native part is used."""

from lean_tracing import native
from lean_tracing.environment import SettingsError
from lean_tracing.settings import TracingSettings
from lean_tracing.usage import usage


def _native_part() -> str:
    """What `start_tracing` does with the variables of this process."""
    try:
        is_on = TracingSettings.from_env().native
    except SettingsError as error:
        return f"unknown, tracing does not start: {error}"
    if not is_on:
        return "not used: TRACING_NATIVE=false switches it off"
    problem = native.problem()
    return f"not used: {problem}; the same functions in Python are used" if problem else "used"


if __name__ == "__main__":
    print(usage("python -m lean_tracing", "Prints the settings of the tracing library.", TracingSettings))
    print(f"\nNative part: {_native_part()}.")
