#!/bin/sh
# Starts a Redis or a Sentinel: sh start.sh redis|sentinel
# Whoever of the peers' Sentinels answers says which Redis is the primary; until one does, the first is.
set -eu
PEERS=${PEERS:-redis-0.redis redis-1.redis redis-2.redis}
SELF=${SELF:-$(hostname).redis}

primary=
for peer in $PEERS; do
    primary=$(timeout 2 redis-cli -h "$peer" -p 26379 sentinel get-master-addr-by-name assay 2>/dev/null | head -n 1) || primary=
    [ -z "$primary" ] || break
done
primary=${primary:-${PEERS%% *}}

if [ "$1" = redis ]; then
    set -- --port 6379 --save "" --appendonly no --maxmemory 192mb --maxmemory-policy allkeys-lru \
        --replica-announce-ip "$SELF"
    [ "$primary" = "$SELF" ] || set -- "$@" --replicaof "$primary" 6379
    exec redis-server "$@"
fi
# A Sentinel writes what it learns into its configuration.
cat > /data/sentinel.conf <<END
port 26379
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $SELF
sentinel monitor assay $primary 6379 2
sentinel down-after-milliseconds assay 1000
sentinel failover-timeout assay 5000
sentinel parallel-syncs assay 1
END
exec redis-server /data/sentinel.conf --sentinel
