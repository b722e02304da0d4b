# Exit code 0 if the brokers answer and each of them has every message of its partitions: the next one may be stopped.
set -eu
# Until this broker listens, no JVM is started to ask it: the JVM would take the CPU that the start of the broker needs.
listening=$(printf ':%04X [0-9A-F]*:0000 0A' "${BOOTSTRAP_SERVERS##*:}")
grep -qs "$listening" /proc/net/tcp /proc/net/tcp6 || { echo "the broker does not listen yet" >&2; exit 1; }
behind=$(java -Xmx64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$LIBRARIES" \
  org.apache.kafka.tools.TopicCommand --bootstrap-server "$BOOTSTRAP_SERVERS" \
  --describe --under-replicated-partitions)
[ -z "$behind" ] || { echo "$behind" >&2; exit 1; }
