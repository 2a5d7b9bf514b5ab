#!/bin/sh
# Makes a folder of secrets for Redis at HOST:PORT: new passwords, the users that have them, and a URL for each role.
#
#   manifests/secrets.sh redis:6379 secrets            with SCHEME=rediss before it for TLS
#
# Compose takes it as REDIS_SECRETS=./secrets; Kubernetes with
#
#   kubectl -n lockstep create secret generic lockstep-redis --from-file=secrets
set -eu
address=${1:?give HOST:PORT of Redis, and a folder to make} folder=${2:?give a folder to make}
users=$(dirname "$0")/../docs/redis-users.acl
hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c1-64; }
umask 077
mkdir "$folder"
cp "$users" "$folder/redis-users.acl"
for role in admin worker producer monitor; do
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  placeholder=$(echo "$role" | tr a-z A-Z)-PASSWORD
  sed "s/>$placeholder /#$(printf %s "$password" | hash) /" "$folder/redis-users.acl" >"$folder/next"
  mv "$folder/next" "$folder/redis-users.acl"
  case $role in
    admin) printf %s "$password" ;;
    *) printf %s "${SCHEME:-redis}://lockstep-$role:$password@$address/0" ;;
  esac >"$folder/$role"
done
# Compose mounts each file as it is, for the users of its containers; the folder itself lets in nobody else.
chmod 644 "$folder"/*
