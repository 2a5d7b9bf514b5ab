#!/bin/sh
# Give a member one password on every host, or leave each host its own: `./secret.sh ann password.txt`
set -eu
: "${LOCKSTEP_SEAL_KEY_FILE:?names the file of keys, the same for workers: openssl rand -base64 32 > seal.key}"
lockstep set "member/$1" --create --set role=writer --secret password=@"$2"
