"""Apache Kafka, which carries the tasks between the services and the spans between the Collectors."""
