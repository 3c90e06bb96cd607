#!/bin/sh
# Starts a Redis or a Sentinel, or tests whether a server is ready:
#     sh start.sh alone|redis|sentinel
#     sh start.sh ready PORT
# REDIS_AUTH=yes: names and passwords of the Secret at /auth. REDIS_TLS=yes: certificates of the Secret at /tls.
set -eu
# Configurations contain passwords.
umask 077
PEERS=${PEERS:-redis-0.redis redis-1.redis redis-2.redis}
SELF=${SELF:-$(hostname).redis}
AUTH=${REDIS_AUTH:-no}
TLS=${REDIS_TLS:-no}

key() { # of the Secret: its value becomes a word of a configuration, and part of an ACL
    value=$(cat "/auth/$1" 2>/dev/null) || value=
    case $value in
    '' | *[!A-Za-z0-9._~+/=-]*)
        echo "the Secret redis-auth needs the key $1: letters, digits and ._~+/=- alone" >&2
        exit 1
        ;;
    esac
    printf %s "$value"
}

cli() {
    if [ "$TLS" = yes ]; then
        set -- --tls --cacert /tls/ca.crt "$@"
    fi
    timeout 2 redis-cli "$@" 2>/dev/null
}

listening() { # at a port
    if [ "$TLS" = no ]; then
        echo "port $1"
        return
    fi
    cat <<END
port 0
tls-port $1
tls-cert-file /tls/tls.crt
tls-key-file /tls/tls.key
tls-ca-cert-file /tls/ca.crt
tls-auth-clients optional
tls-replication yes
END
}

server_password=
if [ "$AUTH" = yes ]; then
    server_password=$(key server-password)
    username=$(key username)
    password=$(key password)
    if [ "$username" = default ]; then
        echo "the Secret redis-auth: username must not be default, the user of Redis and Sentinels" >&2
        exit 1
    fi
fi

if [ "$1" = ready ]; then
    # Sentinels have no password. redis-cli ends with 0 even if the answer is an error.
    [ "$2" = 26379 ] || [ -z "$server_password" ] || export REDISCLI_AUTH="$server_password"
    [ "$(cli -p "$2" ping)" = PONG ]
    exit
fi

primary=
if [ "$1" != alone ]; then
    # Any of the peers' Sentinels that answers names the primary Redis; until one does, it is the first.
    for peer in $PEERS; do
        primary=$(cli -h "$peer" -p 26379 sentinel get-master-addr-by-name assay | head -n 1) || primary=
        [ -z "$primary" ] || break
    done
    primary=${primary:-${PEERS%% *}}
fi

if [ "$1" = sentinel ]; then
    # A Sentinel writes what it learns into its configuration.
    {
        listening 26379
        cat <<END
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $SELF
sentinel monitor assay $primary 6379 2
sentinel down-after-milliseconds assay 1000
sentinel failover-timeout assay 5000
sentinel parallel-syncs assay 1
END
        [ -z "$server_password" ] || echo "sentinel auth-pass assay $server_password"
    } > /data/sentinel.conf
    exec redis-server /data/sentinel.conf --sentinel
fi

# When Redis is full it drops the least recently used keys, before the container's limit is reached.
{
    listening 6379
    cat <<END
dir /data
save ""
appendonly no
maxmemory 192mb
maxmemory-policy allkeys-lru
END
    if [ -n "$server_password" ]; then
        # Rankers may run only what a cache needs; the user "default" is for Redis, Sentinels and probes.
        cat <<END
requirepass $server_password
masterauth $server_password
user $username on >$password ~* resetchannels -@all +@connection -@dangerous +getrange +set +del +unlink +scan
END
    fi
    if [ "$1" != alone ]; then
        echo "replica-announce-ip $SELF"
        [ "$primary" = "$SELF" ] || echo "replicaof $primary 6379"
    fi
} > /data/redis.conf
exec redis-server /data/redis.conf
