"""Creates the tracing stack next to the other resources of a platform team."""

import pulumi
from pulumi_web_crawl_tracing import TracingStack

config = pulumi.Config()
# Random values; set each once with `openssl rand -hex 24 | pulumi config set --secret KEY`.
generated = ("postgresPassword", "grafanaAdminPassword", "hashKey", "otlpToken", "stackKey", "serviceToken")
of_encryption = (
    "authoritySeed",
    "postgresServicePassword",
    "telemetryToken",
    "kafkaGatewayPassword",
    "kafkaTaskManagerPassword",
    "kafkaCrawlerPassword",
    "kafkaCollectorPassword",
    "kafkaSamplerPassword",
)

tracing = TracingStack(
    "tracing",
    settings={
        "environment": pulumi.get_stack(),
        "cluster": {"context": config.require("context"), "namespace": "tracing"},
        "images": {"service": "registry.example.com/web-crawl-service:0.1.0"},
        "encryption": {"kafka": True, "postgres": True, "services": True, "telemetry": True},
        "collector": {"replicas": 2, "sampling": {"ratio": 0.1}},
    },
    secrets={key: config.require_secret(key) for key in (*generated, *of_encryption)},
)
pulumi.export("grafana", tracing.urls["grafana"])
