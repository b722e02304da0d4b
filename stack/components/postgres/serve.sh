# Runs a server that reads its certificate again on SIGHUP, and sends it one whenever the file has changed.
# Arguments: the file, and the server's command line.
set -eu
certificate=$1
shift
"$@" &
server=$!
(
  before=$(cksum <"$certificate")
  while sleep 10; do
    now=$(cksum <"$certificate")
    [ "$now" = "$before" ] || kill -HUP "$server"
    before=$now
  done
) &
watcher=$!
trap 'kill "$watcher" 2>/dev/null || true' EXIT
# Postgres ends its sessions on SIGINT; on SIGTERM it would wait for its clients.
trap 'kill -INT "$server"; is_stopping=1' TERM INT
is_stopping=0
status=0
wait "$server" || status=$?
if [ "$is_stopping" = 1 ]; then
  status=0
  wait "$server" || status=$?
fi
exit "$status"
