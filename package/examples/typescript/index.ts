// Creates the tracing stack next to the other resources of a platform team.
import * as pulumi from "@pulumi/pulumi";
import { TracingStack } from "@pulumi/web-crawl-tracing";

const config = new pulumi.Config();
// Random values; set each once with `openssl rand -hex 24 | pulumi config set --secret KEY`.
const generated = ["postgresPassword", "grafanaAdminPassword", "hashKey", "otlpToken", "stackKey", "serviceToken"];
const ofEncryption = [
    "authoritySeed",
    "postgresServicePassword",
    "telemetryToken",
    "kafkaGatewayPassword",
    "kafkaTaskManagerPassword",
    "kafkaCrawlerPassword",
    "kafkaCollectorPassword",
    "kafkaSamplerPassword",
];

const tracing = new TracingStack("tracing", {
    settings: {
        environment: pulumi.getStack(),
        cluster: { context: config.require("context"), namespace: "tracing" },
        images: { service: "registry.example.com/web-crawl-service:0.1.0" },
        encryption: { kafka: true, postgres: true, services: true, telemetry: true },
        collector: { replicas: 2, sampling: { ratio: 0.1 } },
    },
    secrets: Object.fromEntries([...generated, ...ofEncryption].map(key => [key, config.requireSecret(key)])),
});

export const grafana = tracing.urls.apply(urls => urls.grafana);
