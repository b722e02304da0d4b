"""Names of metrics, of their labels and of scrape jobs, as Prometheus stores them.

A counter has its `_total`. Of a histogram this is the base name; its series add `_bucket`, `_count` and `_sum`. The
metrics of the services are in `service_metrics`, which is part of their image.
"""

from typing import Final

# The tracing library inside the services. All have the label `signal`: traces or logs.
SPANS_ENDED: Final = "tracing_items_ended_total"
SPANS_EXPORTED: Final = "tracing_items_exported_total"
SPANS_DROPPED: Final = "tracing_items_dropped_total"
SPANS_REFUSED: Final = "tracing_items_refused_total"
SPANS_QUEUED: Final = "tracing_queue_items"
SPANS_BUFFERED: Final = "tracing_buffer_items"
SPANS_IN_FLIGHT: Final = "tracing_in_flight_items"
SPANS_STARTED: Final = "tracing_spans_started_total"
SPANS_SAMPLED_OUT: Final = "tracing_spans_sampled_out_total"
EXPORT_REQUESTS: Final = "tracing_export_requests_total"
EXPORT_ERRORS: Final = "tracing_export_errors_total"
BREAKER_STATE: Final = "tracing_breaker_state"
BUFFER_BYTES: Final = "tracing_buffer_bytes"
BUFFER_CAPACITY: Final = "tracing_buffer_capacity_bytes"
TRACING_OVERHEAD: Final = "tracing_overhead_seconds_total"

# Connection pools of the database clients.
DB_CONNECTIONS: Final = "db_client_connection_count"
DB_POOL_SIZE: Final = "db_client_connection_pool_size"
DB_CONNECTION_WAIT: Final = "db_client_connection_wait_seconds"
DB_CONNECTION_TIMEOUTS: Final = "db_client_connection_timeouts_total"

# Span metrics, which the Collectors make of all spans, and the samplers of those that they keep.
SPAN_CALLS: Final = "traces_span_metrics_calls_total"
SPAN_DURATION: Final = "traces_span_metrics_duration_milliseconds"
STORED_SPAN_DURATION: Final = "traces_stored_duration_milliseconds"

# Copies of the span metrics by edge, which Prometheus records. Grafana knows these names and their labels `client`,
# `server` and `connection_type`: they are those of Tempo's metrics generator.
SERVICE_GRAPH_REQUESTS: Final = "traces_service_graph_request_total"
SERVICE_GRAPH_FAILED: Final = "traces_service_graph_request_failed_total"
SERVICE_GRAPH_DURATION: Final = "traces_service_graph_request_server_seconds"
# Copies of the span metrics of requests, under the names that Grafana knows.
REQUEST_SPAN_CALLS: Final = "traces_spanmetrics_calls_total"
REQUEST_SPAN_DURATION: Final = "traces_spanmetrics_latency"

# The Collector about itself.
ACCEPTED_SPANS: Final = "otelcol_receiver_accepted_spans_total"
REFUSED_SPANS: Final = "otelcol_receiver_refused_spans_total"
FAILED_SPANS: Final = "otelcol_receiver_failed_spans_total"
SENT_SPANS: Final = "otelcol_exporter_sent_spans_total"
SEND_FAILED_SPANS: Final = "otelcol_exporter_send_failed_spans_total"
SEND_FAILED_LOGS: Final = "otelcol_exporter_send_failed_log_records_total"
SEND_FAILED_METRICS: Final = "otelcol_exporter_send_failed_metric_points_total"
SENDING_QUEUE_SIZE: Final = "otelcol_exporter_queue_size"
SENDING_QUEUE_CAPACITY: Final = "otelcol_exporter_queue_capacity"
SAMPLER_LAG: Final = "otelcol_kafka_receiver_offset_lag"
DROPPED_TOO_EARLY: Final = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total"
COLLECTOR_CPU: Final = "otelcol_process_cpu_seconds_total"
COLLECTOR_MEMORY: Final = "otelcol_process_memory_rss_bytes"
COLLECTOR_UPTIME: Final = "otelcol_process_uptime_seconds_total"

# The guard of the Collector's queue files.
QUEUE_FILES_SET_ASIDE: Final = "collector_queue_files_set_aside_total"
QUEUE_ITEMS_LOST: Final = "collector_queue_items_lost_total"
QUEUE_VOLUME_FULL: Final = "collector_queue_volume_full"
QUEUE_PAUSED: Final = "collector_queue_paused"

# The probe.
PROBE_PROOFS: Final = "telemetry_probe_proofs_total"
PROBE_STEPS: Final = "telemetry_probe_steps_total"
PROBE_VISIBLE: Final = "telemetry_probe_visible_seconds"
PROBE_COMPLETE: Final = "telemetry_probe_complete_seconds"
CERTIFICATE_START: Final = "stack_certificate_start_timestamp_seconds"
CERTIFICATE_END: Final = "stack_certificate_end_timestamp_seconds"

# The publisher of the dashboards.
PUBLISHER_SUCCESS: Final = "grafana_publisher_success_timestamp_seconds"

# Tempo.
STORE_RECEIVED_SPANS: Final = "tempo_distributor_spans_received_total"
STORE_WRITTEN_BLOCKS: Final = "tempo_block_builder_flushed_blocks"
LOG_STORAGE_FAILURES: Final = "loki_objstore_bucket_operation_failures_total"
STORE_REQUEST_DURATION: Final = "tempo_request_duration_seconds"

# Prometheus, about its targets and about itself.
UP: Final = "up"
ALERTS: Final = "ALERTS"
ALERT_SINCE: Final = "ALERTS_FOR_STATE"
"""Time at which the condition of an alert began to hold, in s."""
SCRAPED_SAMPLES: Final = "scrape_samples_post_metric_relabeling"
SAMPLE_LIMIT: Final = "scrape_sample_limit"
RULE_FAILURES: Final = "prometheus_rule_evaluation_failures_total"
DROPPED_NOTIFICATIONS: Final = "prometheus_notifications_dropped_total"
ALERTMANAGERS: Final = "prometheus_notifications_alertmanagers_discovered"

# Alertmanager.
ALERTMANAGER_ALERTS: Final = "alertmanager_alerts"
NOTIFICATIONS: Final = "alertmanager_notifications_total"
FAILED_NOTIFICATIONS: Final = "alertmanager_notifications_failed_total"

# Processes, as Prometheus' client libraries count them.
PROCESS_CPU: Final = "process_cpu_seconds_total"
PROCESS_MEMORY: Final = "process_resident_memory_bytes"
PROCESS_START: Final = "process_start_time_seconds"

# Labels that Prometheus adds to what it scrapes.
JOB: Final = "job"
INSTANCE: Final = "instance"
TRACK: Final = "track"
"""`stable`, `baseline` or `canary`: the part of a pod in a rollout."""

WORKLOAD: Final = "workload"
"""Name of the workload of a pod, in a job of several workloads."""

# Labels of the services' metrics.
ROUTE: Final = "route"
STATUS: Final = "status"
TOPIC: Final = "topic"
PARTITION: Final = "partition"
OUTCOME: Final = "outcome"
OPERATION: Final = "operation"
DEPENDENCY: Final = "dependency"
SIGNAL: Final = "signal"
REASON: Final = "reason"

# Labels of the probe's metrics.
STEP: Final = "step"
RESULT: Final = "result"
SERVER: Final = "server"
"""Name of a server with a certificate of the stack's authority."""

# Labels of the span metrics.
ENVIRONMENT: Final = "deployment_environment_name"
SERVICE: Final = "service_name"
SPAN_NAME: Final = "span_name"
SPAN_KIND: Final = "span_kind"
STATUS_CODE: Final = "status_code"
DB_SYSTEM: Final = "db_system_name"
HTTP_STATUS: Final = "http_response_status_code"

# Scrape jobs that do not have the name of their pods.
TRACE_STORE_JOB: Final = "trace-store"
LOG_STORE_JOB: Final = "log-store"
SPAN_METRICS_JOB: Final = "span-metrics"
"""The span metrics that the Collectors make; the Collectors' own metrics have another job."""
STORED_SPANS_JOB: Final = "stored-spans"
"""The span metrics that the samplers make of the spans which they keep."""
