#!/bin/sh
# Makes passwords and keys for compose.yaml in secrets/, once; what is there keeps what it says.
# Containers read the files as users of their own, so these are open; their folder is not. Run it
# again for files that were put there or copied, which may be readable for their owner alone.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets
umask 022

word() { openssl rand -hex 32; }
digest() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

if [ ! -e session_store ]; then
    app=$(word) replica=$(word) watcher=$(word) sentinel=$(word)
    word >secret_key
    # "default" is switched off, so nobody is let in by that name. It keeps its rights, since Redis
    # reads its own append-only file by it, and would leave out whatever it may not do.
    cat >redis_users <<END
user default off ~* &* +@all
user app on #$(digest "$app") ~dify_oauth:* resetchannels +hello +ping +select +client|tracking +evalsha +eval +get +set +del +pttl +pexpire +getrange +zadd +zrange +zrem +scan +wait
user replica on #$(digest "$replica") +psync +replconf +ping
user watcher on #$(digest "$watcher") allchannels +multi +exec +slaveof +ping +info +role +publish +subscribe +config|rewrite +client|setname +client|kill +script|kill
END
    cat >redis_replication <<END
masteruser replica
masterauth $replica
END
    cat >sentinel_passwords <<END
requirepass $sentinel
sentinel auth-user sessions watcher
sentinel auth-pass sessions $watcher
END
    hosts=sentinel-1:26379,sentinel-2:26379,sentinel-3:26379
    echo "redis+sentinel://app:$app@$hosts/sessions/0?sentinel_password=$sentinel" >session_store
fi

for name in client_secret tls_certificate tls_key; do
    [ -e "$name" ] || echo "still to come: $PWD/$name"
done
chmod a+r ./*
