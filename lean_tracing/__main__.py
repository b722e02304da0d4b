"""`python -m lean_tracing`: prints the variables of the settings, with their ranges and defaults."""

from lean_tracing import native
from lean_tracing.settings import TracingSettings
from lean_tracing.usage import usage

if __name__ == "__main__":
    print(usage("python -m lean_tracing", "Prints the settings of the tracing library.", TracingSettings))
    print(f"\nNative part: {'compiled' if native.load() else 'not compiled, the same functions in Python are used'}.")
