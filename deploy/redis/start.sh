#!/bin/sh
# Starts Redis with one user a role. The passwords go through a file in memory: a command line is seen by every user of
# the machine. Key patterns are those of utils/keys.py; %R~ reads, %W~ writes, and a key that is given to EVAL wants both,
# whatever the script does with it. Arguments go to redis-server, after what redis.conf beside this has.
set -eu
umask 077
prefix=${REDIS_PREFIX:-}
for password in "$REDIS_PASSWORD" "$REDIS_CONNECTOR_PASSWORD" "$REDIS_CANDLE_WORKER_PASSWORD" \
    "$REDIS_SIGNAL_WORKER_PASSWORD" "$REDIS_READER_PASSWORD" "$REDIS_DEMO_PASSWORD"; do
    case $password in
        '' | *[!A-Za-z0-9_-]*) echo "A REDIS_*_PASSWORD in .env is empty or has other characters than letters, digits, - and _: correct it." >&2; exit 2 ;;
    esac
done

# What every process of ours may do: name itself, and what its health check reads and writes.
ours="+@connection -@dangerous +info +multi +exec +evalsha +script|load +type \
%R~${prefix}health:* %RW~${prefix}health-processes +hgetall +smembers +sadd +del +hset +expire +xrange +xinfo|stream"
worker="+eval +watch +get +set +hget +hdel +xadd +xread +xreadgroup +xack +xgroup|create +xinfo|groups +publish +zadd +zrem +zremrangebyscore +zrange +time \
%RW~${prefix}published:* %W~${prefix}archive.rejected:*"

cat > "${ACL_FILE:-/tmp/users.acl}" <<USERS
user default on >$REDIS_PASSWORD ~* &* +@all
user connector on >$REDIS_CONNECTOR_PASSWORD resetchannels $ours %R~${prefix}closed:* %RW~${prefix}ticks:* %RW~${prefix}broker:* %RW~${prefix}ticks-subscribed:* %R~${prefix}state-counts:* %W~${prefix}instruments %W~${prefix}health:connector +get +bgsave +xadd +xtrim +xlen +memory|usage +exists
user candle_worker on >$REDIS_CANDLE_WORKER_PASSWORD resetchannels $ours $worker %R~${prefix}ticks:* %R~${prefix}ticks-subscribed:* %R~${prefix}instruments %RW~${prefix}closed:* %W~${prefix}candle:* %W~${prefix}tick:* %RW~${prefix}state:* %RW~${prefix}state-counts:* %RW~${prefix}ticks.rejected:* %R~${prefix}signals:* %RW~${prefix}written:candle_worker:* %RW~${prefix}lease:candle_worker:* %RW~${prefix}workers:candle_worker %RW~${prefix}health-part:candle_worker:* %W~${prefix}health:candle_worker +hmget +mset &${prefix}candles.closed.*
user signal_worker on >$REDIS_SIGNAL_WORKER_PASSWORD resetchannels $ours $worker %R~${prefix}ticks:* %R~${prefix}closed:* %RW~${prefix}signals:* %W~${prefix}indicators:* %RW~${prefix}signal-state:* %R~${prefix}instruments %RW~${prefix}written:signal_worker:* %RW~${prefix}lease:signal_worker:* %RW~${prefix}workers:signal_worker %RW~${prefix}health-part:signal_worker:* %W~${prefix}health:signal_worker +xrevrange &${prefix}signals.*
user reader on >$REDIS_READER_PASSWORD &* +@read +@connection +subscribe +psubscribe +unsubscribe +punsubscribe -@dangerous %R~${prefix}tick:* %R~${prefix}candle:* %R~${prefix}indicators:* %R~${prefix}closed:* %R~${prefix}signals:* %R~${prefix}ticks:* %R~${prefix}ticks.rejected:* %R~${prefix}archive.rejected:* %R~${prefix}instruments %R~${prefix}health:* %R~${prefix}health-processes
user demo on >$REDIS_DEMO_PASSWORD ~demo:* ~replay:* &demo:* &replay:* +@all -@admin -@dangerous +info -function -script +script|load
USERS

exec "${REDIS_SERVER:-redis-server}" "${REDIS_CONFIG:-$(dirname "$0")/redis.conf}" --aclfile "${ACL_FILE:-/tmp/users.acl}" "$@"
