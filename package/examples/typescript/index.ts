// Creates the tracing stack next to the other resources of a platform team.
import * as pulumi from "@pulumi/pulumi";
import { TracingStack } from "@pulumi/web-crawl-tracing";

const config = new pulumi.Config();
const generated = ["postgresPassword", "grafanaAdminPassword", "hashKey", "otlpToken", "stackKey", "serviceToken"];

const tracing = new TracingStack("tracing", {
    settings: {
        environment: pulumi.getStack(),
        cluster: { context: config.require("context"), namespace: "tracing" },
        images: { service: "registry.example.com/web-crawl-service:0.1.0" },
        collector: { replicas: 2, sampling: { ratio: 0.1 } },
    },
    secrets: Object.fromEntries(generated.map(key => [key, config.requireSecret(key)])),
});

export const grafana = tracing.urls.apply(urls => urls.grafana);
