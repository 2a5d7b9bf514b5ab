#!/bin/sh
# A container: the root that an image would bring, made of folders of this machine, and the command in it as a user.
#
#   container.sh ROOT WORKS_IN USER 'SOURCE TARGET'… -- COMMAND…       PARTS: folders that programs are in; SEEN: what stays where it is
#
# It is process 1 of namespaces of its own. The root cannot be written to; what the pod mounts can.
set -eu
root=$1 works_in=$2 user=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir -p "$root/etc" "$root/proc" "$root/dev"
for part in $PARTS; do
  if [ -L "/$part" ]; then
    ln -s "$(readlink "/$part")" "$root/$part"
  elif [ -d "/$part" ]; then
    mkdir -p "$root/$part"
    mount --bind -o ro "/$part" "$root/$part"
  fi
done
cp -a /etc/ld.so.* /etc/alternatives /etc/ssl "$root/etc/" 2>/dev/null || true
printf 'root:x:0:0::/tmp:/bin/sh\nlockstep:x:10001:10001::/tmp:/bin/sh\nredis:x:999:999::/data:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nlockstep:x:10001:\nredis:x:999:\n' >"$root/etc/group"
printf 'hosts: files\n' >"$root/etc/nsswitch.conf"
touch "$root/etc/hosts"
mount --bind /etc/hosts "$root/etc/hosts"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
  source=${1%% *} target=$root${1#* }
  mkdir -p "$target"
  mount --bind "$source" "$target"
  shift
done
shift
for seen in $SEEN; do
  mkdir -p "$root$seen"
  mount --bind -o ro "$seen" "$root$seen"
done
mkdir -p "$root$works_in"
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set=-all \
  sh -c 'cd "$0" && exec "$@"' "$works_in" "$@"
