# Exit code 0 if the brokers answer and each of them has every message of its partitions: the next one may be stopped.
set -eu

# Whether this broker listens. A JVM that asks it before takes the CPU that the start of the broker needs.
is_listening() {
  port=$(printf ':%04X' "${BOOTSTRAP_SERVERS##*:}")
  for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] || continue
    while read -r _ address _ state _; do
      case "$address $state" in *"$port 0A") return 0 ;; esac
    done <"$table"
  done
  return 1
}

is_listening || { echo "the broker does not listen yet" >&2; exit 1; }
behind=$(java -Xmx64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$LIBRARIES" \
  org.apache.kafka.tools.TopicCommand --bootstrap-server "$BOOTSTRAP_SERVERS" \
  ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} \
  --describe --under-replicated-partitions)
[ -z "$behind" ] || { echo "$behind" >&2; exit 1; }
