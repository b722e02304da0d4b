# Exit code 0 if the brokers answer and each of them has every message of its partitions: the next one may be stopped.
set -eu
behind=$(java -Xmx64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$LIBRARIES" \
  org.apache.kafka.tools.TopicCommand --bootstrap-server "$BOOTSTRAP_SERVERS" \
  --describe --under-replicated-partitions)
[ -z "$behind" ] || { echo "$behind" >&2; exit 1; }
