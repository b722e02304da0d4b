# Runs HAProxy, and lets it load its files again whenever one of them has changed. Open connections stay.
# Arguments: the configuration, then the files whose change HAProxy has to notice.
set -eu
# The first domain in which the pod looks up names: that of its namespace.
SEARCH_DOMAIN=
while read -r keyword domain _ || [ "$keyword" ]; do
  case $keyword in search) SEARCH_DOMAIN=$domain ;; esac
done </etc/resolv.conf
export SEARCH_DOMAIN
configuration=$1
shift
haproxy -W -db -f "$configuration" &
proxy=$!
(
  before=$(cat "$@" | cksum)
  while sleep 10; do
    now=$(cat "$@" | cksum)
    [ "$now" = "$before" ] || kill -USR2 "$proxy"
    before=$now
  done
) &
watcher=$!
trap 'kill "$watcher" 2>/dev/null || true' EXIT
# The image of HAProxy asks for SIGUSR1. The program behind it has ended by then, so no request is in progress.
trap 'kill -TERM "$proxy"; is_stopping=1' TERM INT USR1
is_stopping=0
status=0
wait "$proxy" || status=$?
if [ "$is_stopping" = 1 ]; then
  status=0
  wait "$proxy" || true
fi
exit "$status"
