#!/bin/sh
# Starts a Redis server: redis.sh NAME [MASTER].
# Which of them is the master changes; the sentinels write it into /data/redis.conf, which stays.
set -eu
if [ ! -s /data/redis.conf ]; then
    {
        echo "include /etc/redis/redis.conf"
        echo "include /run/secrets/redis_replication"
        echo "replica-announce-ip $1"
        if [ "$#" -gt 1 ]; then echo "replicaof $2 6379"; fi
    } >/data/redis.conf
fi
exec redis-server /data/redis.conf
