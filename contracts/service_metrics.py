"""Names of the metrics that the services emit, as Prometheus stores them; see `metrics`.

A module of its own, because the services' image contains the modules of contracts that the services import.
"""

from typing import Final

HTTP_REQUESTS: Final = "http_server_requests_total"
HTTP_DURATION: Final = "http_server_request_duration_seconds"

MESSAGES_PRODUCED: Final = "kafka_messages_produced_total"
MESSAGES_CONSUMED: Final = "kafka_messages_consumed_total"
MESSAGE_PROCESSING: Final = "kafka_message_processing_seconds"
MESSAGE_WAIT: Final = "kafka_message_wait_seconds"
CONSUMER_LAG: Final = "kafka_consumer_lag_messages"
CONSUMER_PARTITIONS: Final = "kafka_consumer_partitions"
UNDER_REPLICATED_PARTITIONS: Final = "kafka_partitions_under_replicated"
OFFLINE_PARTITIONS: Final = "kafka_partitions_offline"

ACCESS_REFUSALS: Final = "access_refusals_total"
DEPENDENCY_UP: Final = "dependency_up"
BACKGROUND_FAILURES: Final = "background_loop_failures_total"
COLLECTION_FAILURES: Final = "metrics_collection_failures_total"

TASK_OPERATIONS: Final = "task_operations_total"
TASK_DURATION: Final = "task_duration_seconds"
TASKS: Final = "web_crawl_tasks"
TASKS_DELETED: Final = "web_crawl_tasks_deleted_total"
OLDEST_TASK: Final = "web_crawl_tasks_oldest_seconds"

CRAWLED_PAGES: Final = "crawler_pages_total"
FETCH_DURATION: Final = "crawler_fetch_duration_seconds"
UNREACHABLE_SITES: Final = "crawler_unreachable_sites"

SYNTHETIC: Final = "synthetic"
"""Label of the metrics of requests and tasks; empty for those of users."""

OUTCOME_SUCCESS: Final = "success"
"""Label `outcome` of a message that the broker acknowledged."""
OUTCOME_FAILURE: Final = "failure"
"""Label `outcome` of a message that the broker did not acknowledge, and of an operation that raised an error."""
OUTCOME_DEAD_LETTER: Final = "dead_letter"
"""Label `outcome` of a message that was sent to the dead-letter topic."""
OUTCOME_RETRIED: Final = "retried"
"""Label `outcome` of an attempt after which the message is delivered again."""
OUTCOME_FAILED: Final = "failed"
"""Label `outcome` of a page that the stack failed to fetch; that of a foreign site's failure is `error`. Label `status`
of a failed task."""
