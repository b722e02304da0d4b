"""The table of the images, and where each can come from.

The rule: already in the node → pulled from its registry → a program on PATH, packed → built → unavailable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts import versions
from local.archive import PATH, Image
from local.golang import go_build, go_is_built
from local.images import alertmanager, kafka
from local.images.binary import Packed, pack, version_of
from local.images.cache import LayerCache
from local.images.debian import POSTGRES, PROXY, PYTHON, Debian
from local.images.kafka import kafka_layers
from local.images.service import service_image, service_reference
from local.jobs import Progress
from local.paths import Home

_ROOT = Path(__file__).resolve().parents[2]

KAFKA_PREVIOUS = "kafka-previous"
Build = Callable[[Progress, Home], Image]


@dataclass(frozen=True, kw_only=True)
class Known:
    """An image of the table. `reference` is a function, since the service's reference depends on its files."""

    reference: Callable[[], str]
    packed: Packed | None = None  # how a program on PATH becomes this image
    build: Build | None = None
    optional: bool = False  # the stack can do without it
    later: Callable[[Home], bool] | None = None  # whether the first deployment must not wait for it
    stands_in_for: str = ""  # it is made only if that image is unavailable
    only_by_name: bool = False  # no stack uses it


def _go_image(name: str, packed: Packed, reference: str, module: Path, **options: object) -> Build:
    def build(progress: Progress, home: Home) -> Image:
        binary = home.bin / packed.commands[0]
        go_build(progress, module, binary, **options)  # type: ignore[arg-type]
        return pack(progress, LayerCache(home.images), f"built-{name}", packed, binary, reference)

    return build


def _loki_takes_long(home: Home) -> bool:
    return not go_is_built(_LOKI_MODULE, home.bin / _LOKI.commands[0], **_LOKI_OPTIONS)  # type: ignore[arg-type]


def _alertmanager(progress: Progress, home: Home) -> Image:
    build = _go_image(
        "alertmanager",
        _ALERTMANAGER,
        versions.ALERTMANAGER,
        alertmanager.complete(progress, home),
        **_ALERTMANAGER_OPTIONS,
    )
    return build(progress, home)


def _alertmanager_takes_long(home: Home) -> bool:
    module, binary = alertmanager.sources(home), home.bin / _ALERTMANAGER.commands[0]
    return not go_is_built(module, binary, **_ALERTMANAGER_OPTIONS)  # type: ignore[arg-type]


def _kafka(reference: str, version: Path) -> Build:
    def build(progress: Progress, home: Home) -> Image:
        return Image(
            reference=reference,
            layers=kafka_layers(progress, LayerCache(home.images), version),
            entrypoint=("java", "-cp", "/opt/kafka/libs/*", "kafka.Kafka"),
            user="1000:1000",
        )

    return build


def _postgres(progress: Progress, home: Home) -> Image:
    programs = "/usr/lib/postgresql/15/bin"
    return Image(
        reference=versions.POSTGRES,
        layers=Debian(LayerCache(home.images)).layers(progress, POSTGRES),
        entrypoint=(f"{programs}/postgres",),
        environment={"PATH": f"{PATH}:{programs}", "LANG": "C.UTF-8"},
        user="999:999",
    )


def _proxy(progress: Progress, home: Home) -> Image:
    return Image(
        reference=versions.PROXY,
        layers=Debian(LayerCache(home.images)).layers(progress, PROXY),
        entrypoint=("haproxy",),
        environment={"PATH": PATH},
        user="99:99",
    )


def _python(progress: Progress, home: Home) -> Image:
    return Image(
        reference=versions.PYTHON,
        layers=Debian(LayerCache(home.images)).layers(progress, PYTHON),
        entrypoint=("python3",),
        environment={"PATH": PATH},
    )


def _service(progress: Progress, home: Home) -> Image:
    return service_image(progress, LayerCache(home.images))


_COLLECTOR = Packed(commands=("otelcol-contrib", "otelcol"), program="/otelcol-contrib", user=10001)
_PROMETHEUS = Packed(commands=("prometheus",), program="/bin/prometheus", user=65534)
_ALERTMANAGER = Packed(commands=("alertmanager",), program="/bin/alertmanager", user=65534)
_ALERTMANAGER_OPTIONS: Mapping[str, object] = {
    "package": alertmanager.PACKAGE,
    "ldflags": f"-X github.com/prometheus/common/version.Version={version_of(versions.ALERTMANAGER)}",
}
_JAEGER = Packed(commands=("jaeger",), program="/cmd/jaeger/jaeger-linux", user=10001)
_TEMPO = Packed(commands=("tempo",), program="/tempo", user=10001)
_LOKI = Packed(commands=("loki",), program="/usr/bin/loki", user=10001)
_LOKI_MODULE = Path(__file__).parent / "loki"
_LOKI_OPTIONS: Mapping[str, object] = {
    "package": "github.com/grafana/loki/v3/cmd/loki",
    # Without Envoy's validators and a second JSON library, 7 MB that Loki does not call here.
    "tags": ("disable_pgv", "arrow_json_stdlib"),
    "ldflags": f"-X github.com/grafana/loki/v3/pkg/util/build.Version={version_of(versions.LOKI)}",
}
_GRAFANA_HOME = "/usr/share/grafana"
_GRAFANA = Packed(
    commands=("grafana",),
    program=f"{_GRAFANA_HOME}/bin/grafana",
    user=472,
    entrypoint=(f"{_GRAFANA_HOME}/bin/grafana", "server", f"--homepath={_GRAFANA_HOME}", "--packaging=docker"),
    # The variables that the start script of the official image sets.
    environment=(
        ("GF_LOG_MODE", "console"),
        ("GF_PATHS_DATA", "/var/lib/grafana"),
        ("GF_PATHS_LOGS", "/var/log/grafana"),
        ("GF_PATHS_PLUGINS", "/var/lib/grafana/plugins"),
        ("GF_PATHS_PROVISIONING", "/etc/grafana/provisioning"),
    ),
    home=_GRAFANA_HOME,
    home_parts=("conf", "public"),
    # Grafana logs an error for each provisioning folder that does not exist; the stack mounts the other two.
    directories=(
        "/var/lib/grafana",
        "/var/log/grafana",
        "/etc/grafana/provisioning/alerting",
        "/etc/grafana/provisioning/plugins",
    ),
)

# The order in which they get the machine's cores: the Collector and Prometheus share most of their packages.
CATALOGUE: Mapping[str, Known] = {
    "collector": Known(
        reference=lambda: versions.COLLECTOR,
        packed=_COLLECTOR,
        build=_go_image("collector", _COLLECTOR, versions.COLLECTOR, _ROOT / "collector" / "distribution"),
    ),
    "prometheus": Known(
        reference=lambda: versions.PROMETHEUS,
        packed=_PROMETHEUS,
        build=_go_image(
            "prometheus",
            _PROMETHEUS,
            versions.PROMETHEUS,
            Path(__file__).parent / "prometheus",
            package="github.com/prometheus/prometheus/cmd/prometheus",
            # Only the service discovery by DNS: each of the others has the client of a cloud.
            tags=("remove_all_sd", "enable_dns_sd"),
            ldflags=f"-X github.com/prometheus/common/version.Version={versions.PROMETHEUS.rpartition(':v')[2]}",
        ),
    ),
    "tempo": Known(reference=lambda: versions.TEMPO, packed=_TEMPO, optional=True),
    "jaeger": Known(
        reference=lambda: versions.JAEGER,
        packed=_JAEGER,
        build=_go_image(
            "jaeger",
            _JAEGER,
            versions.JAEGER,
            Path(__file__).parent / "jaeger",
            ldflags=f"-X main.version={versions.JAEGER.rpartition(':')[2]}",
        ),
        stands_in_for="tempo",
    ),
    "service": Known(reference=service_reference, build=_service),
    # The base of the service's image, so it costs one line in a manifest.
    "python": Known(reference=lambda: versions.PYTHON, build=_python),
    "kafka": Known(reference=lambda: versions.KAFKA, build=_kafka(versions.KAFKA, kafka.CURRENT)),
    KAFKA_PREVIOUS: Known(
        reference=lambda: versions.KAFKA_PREVIOUS,
        build=_kafka(versions.KAFKA_PREVIOUS, kafka.PREVIOUS),
        only_by_name=True,
    ),
    "postgres": Known(reference=lambda: versions.POSTGRES, build=_postgres),
    "proxy": Known(reference=lambda: versions.PROXY, build=_proxy),
    "grafana": Known(reference=lambda: versions.GRAFANA, packed=_GRAFANA, optional=True),
    "alertmanager": Known(
        reference=lambda: versions.ALERTMANAGER,
        packed=_ALERTMANAGER,
        build=_alertmanager,
        later=_alertmanager_takes_long,
    ),
    "loki": Known(
        reference=lambda: versions.LOKI,
        packed=_LOKI,
        build=_go_image("loki", _LOKI, versions.LOKI, _LOKI_MODULE, **_LOKI_OPTIONS),
        later=_loki_takes_long,
    ),
}
