# Lets the brokers use what their version has and the one before has not. Afterwards they cannot go back to that one.
set -eu
exec java -Xmx64m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$LIBRARIES" \
  org.apache.kafka.tools.FeatureCommand --bootstrap-server "$BOOTSTRAP_SERVERS" \
  ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} upgrade --release-version "$RELEASE"
