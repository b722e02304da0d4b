"""`python -m lean_tracing`: prints the variables of the settings, with their ranges and defaults."""

from lean_tracing.settings import TracingSettings
from lean_tracing.usage import usage

if __name__ == "__main__":
    print(usage("python -m lean_tracing", "Prints the settings of the tracing library.", TracingSettings))
