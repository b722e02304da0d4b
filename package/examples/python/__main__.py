"""Creates the tracing stack next to the other resources of a platform team."""

import pulumi
from pulumi_web_crawl_tracing import TracingStack

config = pulumi.Config()
generated = ("postgresPassword", "grafanaAdminPassword", "hashKey", "otlpToken", "stackKey", "serviceToken")

tracing = TracingStack(
    "tracing",
    settings={
        "environment": pulumi.get_stack(),
        "cluster": {"context": config.require("context"), "namespace": "tracing"},
        "images": {"service": "registry.example.com/web-crawl-service:0.1.0"},
        "collector": {"replicas": 2, "sampling": {"ratio": 0.1}},
    },
    secrets={key: config.require_secret(key) for key in generated},
)
pulumi.export("grafana", tracing.urls["grafana"])
