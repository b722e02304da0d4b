"""The section `grafana` of the settings."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from contracts import secret_keys
from contracts.addresses import BaseAddress, HostAndPort, WebAddress
from contracts.section import Cpu, DnsLabel, DnsName, FromList, LabelKey, Labels, Quantity, Section
from dashboards.names import Names
from stack.components.shared.external_store import require_encryption
from stack.components.shared.settings import Pem, Size, Stateful

_LOOPBACK = ("localhost", "127.0.0.1")
Groups = Annotated[tuple[Annotated[str, Field(pattern=r"^[^'\\`]{1,200}$", examples=["sre"])], ...], FromList]


class Oidc(Section):
    """Users sign in with an identity provider (OpenID Connect). Register `<grafana.url>/login/generic_oauth` there.

    The secret `grafanaOidcClientSecret` has the client's secret. The user `admin` keeps its password for the time in
    which the provider does not answer.
    """

    name: Annotated[str, Field(min_length=1, max_length=60)] = "single sign-on"
    """The button of the login page: Sign in with …"""
    client_id: Annotated[str, Field(min_length=1)]
    auth_url: WebAddress
    """The provider's authorization endpoint, as its `/.well-known/openid-configuration` has it."""
    token_url: WebAddress
    """Its token endpoint."""
    api_url: WebAddress
    """Its userinfo endpoint."""
    scopes: Annotated[tuple[str, ...], FromList] = ("openid", "profile", "email")
    """Add the scope that brings the groups of a user, if your provider has one."""
    groups_claim: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")] = "groups"
    """The claim with the groups of a user, as a JMESPath."""
    admins: Groups = ()
    """Groups whose members change Grafana's configuration."""
    editors: Groups = ()
    """Groups whose members change dashboards."""
    viewers: Groups = ()
    """Groups whose members read. If empty, every user of the provider reads; otherwise a user outside of all groups
    cannot sign in."""
    allowed_domains: Annotated[tuple[DnsName, ...], FromList] = ()
    """Domains of the mail addresses that may sign in; all if empty."""
    sign_out_url: WebAddress | None = None
    """The provider's page that ends its session."""

    @model_validator(mode="after")
    def _check_encryption(self) -> Self:
        for url in (self.auth_url, self.token_url, self.api_url):
            parts = urlsplit(url)
            if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
                raise ValueError("authUrl, tokenUrl and apiUrl must be https: tokens would be sent in clear")
        return self


class Database(Section):
    """A PostgreSQL database of Grafana's own, on a server that the stack did not build: several pods share it.

    It holds users, sessions, stars, and the dashboards that people made. The secret `grafanaDatabasePassword` has the
    password; `grafanaSecretKey` encrypts credentials in it.
    """

    host: HostAndPort
    """Host name and port."""
    name: Annotated[str, Field(min_length=1, max_length=63)] = "grafana"
    """Of the database."""
    user: Annotated[str, Field(min_length=1, max_length=63)] = "grafana"
    """Owner of the database: Grafana creates its tables."""
    tls: Literal["verify-full", "require", "disable"] = "verify-full"
    """As PostgreSQL's `sslmode`: only `verify-full` notices a server that pretends to be yours."""
    ca: Pem | None = None
    """Authority that signed the server's certificate, as PEM; the public ones if unset."""


class Sidecar(Section):
    """ConfigMaps with the dashboards and a Secret with the datasources, for the sidecar containers of the Helm chart
    `grafana`, which kube-prometheus-stack uses. They are in the stack's namespace, where the sidecars must look."""

    dashboard_labels: Labels = Field(default_factory=lambda: {"grafana_dashboard": "1"}, min_length=1)
    """Labels of the ConfigMaps: the chart's `sidecar.dashboards.label` and `labelValue`."""
    datasource_labels: Labels = Field(default_factory=lambda: {"grafana_datasource": "1"}, min_length=1)
    """Labels of the Secret: the chart's `sidecar.datasources.label` and `labelValue`."""
    folder_annotation: LabelKey = "grafana_folder"
    """Annotation with the title of the folder: the chart's `sidecar.dashboards.folderAnnotation`."""


class GrafanaOperator(Section):
    """Objects of the Grafana Operator: a `GrafanaDatasource`, `GrafanaFolder` or `GrafanaDashboard` for each."""

    instance_selector: Labels = Field(min_length=1, examples=[{"dashboards": "grafana"}])
    """Labels of your `Grafana` object."""


class Publisher(Size):
    """A pod that writes the dashboards and datasources through Grafana's HTTP API, and again every five minutes.

    It runs from the image of the services.
    """

    cpu: Cpu = "10m"
    memory: Quantity = "96Mi"


class ExternalGrafana(Section):
    """A Grafana that the stack did not build. It gets the dashboards in one of three ways: `sidecar`, `operator` or
    `api`."""

    prefix: Annotated[DnsLabel, Field(max_length=12)] = "tracing"
    """Begins the uids and ends the titles of the stack's datasources, folders and dashboards. Each stack whose
    dashboards are in the same Grafana needs its own."""
    sidecar: Sidecar | None = None
    operator: GrafanaOperator | None = None
    api: Publisher | None = None
    api_url: BaseAddress | None = None
    """Base URL of its HTTP API, for `api` and for the checks, if it is not `grafana.url`."""
    ca: Pem | None = None
    """Authority that signed the certificate of that URL, as PEM; the public ones if unset."""
    authorize: bool = False
    """If on, `make dashboards-check` queries through this Grafana, and opens the pages there. It needs the secret
    `grafanaToken`: the token of a service account, of the role Viewer at least. `api` needs it, too, of the role
    Admin."""

    @property
    def has_token(self) -> bool:
        """Whether the stack has a token of this Grafana."""
        return self.authorize or self.api is not None

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if sum(way is not None for way in (self.sidecar, self.operator, self.api)) != 1:
            raise ValueError("set one of sidecar, operator and api: the way in which your Grafana gets the dashboards")
        return self


class Grafana(Stateful):
    """Grafana, with all datasources, dashboards and runbooks."""

    external: ExternalGrafana | None = None
    """If set, the stack builds no Grafana; `url` is that of yours. Not checked: whether your sidecar or operator finds
    the objects, its version and plugins, users and their rights."""

    enabled: bool = True
    """If off, there is no Grafana; its datasources and dashboards are still rendered and checked."""
    url: BaseAddress = "http://localhost:3000"
    """URL of Grafana for people, without a slash at its end; it may have a path. Links in alerts, redirects and OAuth
    lead there."""
    internet: bool = False
    """If on, Grafana may connect to grafana.com and gravatar.com: news, checks for updates, the catalog of plugins, and
    the Drilldown apps, which it downloads when it starts. Dashboards, logs and traces need none of it."""
    volume: Quantity = "1Gi"
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Number of pods; several need `database`."""
    database: Database | None = None
    """If unset, Grafana's own database is a file on its volume."""
    oidc: Oidc | None = None
    """If unset, only the user `admin` signs in."""

    @property
    def built(self) -> bool:
        """Whether the stack builds the Grafana."""
        return self.enabled and self.external is None

    @property
    def published(self) -> bool:
        """Whether a pod writes the dashboards through the API of an external Grafana."""
        return self.external is not None and self.external.api is not None

    @property
    def names(self) -> Names:
        """Names of the stack's objects in Grafana."""
        return Names(prefix=self.external.prefix) if self.external else Names()

    @property
    def api_url(self) -> str:
        """Base URL of the HTTP API of an external Grafana."""
        return (self.external and self.external.api_url) or self.url

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that Grafana needs."""
        if not self.enabled:
            return ()
        if self.external:
            return (secret_keys.GRAFANA_TOKEN,) if self.external.has_token else ()
        return (
            *((secret_keys.GRAFANA_OIDC_CLIENT_SECRET,) if self.oidc else ()),
            *((secret_keys.GRAFANA_DATABASE_PASSWORD, secret_keys.GRAFANA_SECRET_KEY) if self.database else ()),
        )

    @model_validator(mode="after")
    def _check_external(self) -> Self:
        external = self.external
        if external is None:
            return self
        if not self.enabled:
            raise ValueError("enabled is false, and external is set: remove one of them")
        if "url" not in self.model_fields_set:
            raise ValueError("external needs url: the URL of your Grafana, to which the links of alerts lead")
        if self.replicas > 1 or self.database or self.oidc or self.internet:
            raise ValueError("replicas, database, oidc, internet belong to a Grafana of the stack; external is yours")
        if urlsplit(self.api_url).hostname not in _LOOPBACK:
            require_encryption(self.api_url, on=external.has_token, name="external")
        return self

    @model_validator(mode="after")
    def _check_pods_share_a_database(self) -> Self:
        if self.replicas > 1 and self.database is None:
            raise ValueError(
                f"replicas {self.replicas} need database: each pod would have users and sessions of its own"
            )
        return self
