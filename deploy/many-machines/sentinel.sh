#!/bin/sh
# Starts a sentinel: sentinel.sh NAME.
# It writes what it learns into its file, so that the file is made once and stays.
set -eu
if [ ! -s /data/sentinel.conf ]; then
    {
        cat /etc/redis/sentinel.conf /run/secrets/sentinel_passwords
        echo "sentinel announce-ip $1"
    } >/data/sentinel.conf
fi
exec redis-server /data/sentinel.conf --sentinel
