# Gives each partition a replica on every broker, and sets how many of them must have a message that is acknowledged.
# It changes nothing where both are right. It returns when all replicas have all messages.
set -eu
run() { java -Xmx64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$LIBRARIES" "$@"; }
kafka() { class=$1; shift; run "$class" --bootstrap-server "$BOOTSTRAP_SERVERS" ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} "$@"; }
plan=/tmp/reassignment.json

# A line of `--describe`: Topic: NAME Partition: 0 Leader: 1 Replicas: 1 Isr: 1 …
kafka org.apache.kafka.tools.TopicCommand --describe >/tmp/partitions
separator=""
{
  printf '{"version": 1, "partitions": ['
  while read -r _ topic label partition _ _ _ replicas _; do
    [ "$label" = "Partition:" ] || continue
    target=$replicas
    for id in $(seq 1 "$BROKERS"); do
      case ",$replicas," in *",$id,"*) ;; *) target="$target,$id" ;; esac
    done
    [ "$target" != "$replicas" ] || continue
    printf '%s{"topic": "%s", "partition": %s, "replicas": [%s]}' "$separator" "$topic" "$partition" "$target"
    separator=", "
  done </tmp/partitions
  printf ']}'
} >"$plan"

if [ "$(cat "$plan")" != '{"version": 1, "partitions": []}' ]; then
  kafka org.apache.kafka.tools.reassign.ReassignPartitionsCommand --execute --reassignment-json-file "$plan"
  until result=$(kafka org.apache.kafka.tools.reassign.ReassignPartitionsCommand --verify \
    --reassignment-json-file "$plan") && case $result in *"still in progress"*) false ;; esac; do
    sleep 5
  done
  echo "$result"
fi
# Last: until the replicas are there, a message could not be acknowledged.
kafka kafka.admin.ConfigCommand --alter --entity-type brokers --entity-default \
  --add-config "min.insync.replicas=$IN_SYNC_REPLICAS"
