#!/bin/sh
# Asks Redis for a copy as a replica does, and packs it as the file that Redis starts from: the base of an append-only file.
set -eu
cd /backups
rm -rf making && mkdir -p making/appendonlydir
valkey-cli -h "$REDIS_HOST" $CLI_OPTIONS --rdb making/appendonlydir/appendonly.aof.1.base.rdb
printf 'file appendonly.aof.1.base.rdb seq 1 type b\n' >making/appendonlydir/appendonly.aof.manifest
name=redis-$(date -u +%F-%H%M%S).tar
tar -C making -cf "$name.part" appendonlydir
mv "$name.part" "$name"
rm -rf making
# The oldest go once there are more than KEEP.
ls -1 redis-*.tar | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do rm -f "$old"; done
ls -l "$name"
