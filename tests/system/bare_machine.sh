#!/usr/bin/env bash
# bare_machine.sh - Proves the README's two commands in a fresh minimal Debian root.
#
#   sudo tests/system/bare_machine.sh [DIRECTORY] [SUITE]     (default: a temporary one, bookworm)
#
# Makes the root with debootstrap, clones this repository into it, runs `./do run` until a request
# is answered, then `./do test`.  Needs root and a Debian mirror; not part of ./do test.
set -eu
root=${1:-$(mktemp -d /var/tmp/sluice-bare.XXXXXX)}
suite=${2:-bookworm}
source=$(cd "$(dirname "$0")/../.." && pwd)
mirror=${MIRROR:-$(awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list 2>/dev/null || true)}
[ -n "$mirror" ] || mirror=$(awk '$1 == "URIs:" { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
[ -x "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase --include=ca-certificates,git "$suite" "$root" ${mirror:+"$mirror"}
# The host's way to the network: names, proxies and package sources.
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
[ ! -d /usr/local/share/ca-certificates ] || { mkdir -p "$root/usr/local/share"; cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"; chroot "$root" update-ca-certificates > /dev/null 2>&1 || true; }
for m in proc sys dev; do mountpoint -q "$root/$m" || mount --rbind "/$m" "$root/$m"; done
trap 'for m in dev sys proc; do umount -R -l "$root/$m" || true; done' EXIT
rm -rf "$root/root/sluice"
git clone -q "$source" "$root/root/sluice"
echo "== dpkg-query: $(chroot "$root" dpkg-query -W -f 'x\n' | wc -l) packages before"
echo "== ./do run"
chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin ${http_proxy:+http_proxy=$http_proxy} ${https_proxy:+https_proxy=$https_proxy} \
  sh -c 'cd /root/sluice && exec ./do run --listen 127.0.0.1:18080' &
server=$!
for _ in $(seq 600); do
  sleep 1
  kill -0 $server 2>/dev/null || { echo "./do run ended"; exit 1; }
  if answer=$(curl -sf http://127.0.0.1:18080/v1/chat/completions -H 'content-type: application/json' \
      -d '{"model":"demo","messages":[{"role":"user","content":"What is Sluice?"}],"temperature":0}'); then echo "== $answer"; break; fi
done
[ -n "${answer:-}" ] || { echo "no answer"; exit 1; }
pkill -TERM -f 'sluice serve --listen 127.0.0.1:18080' || true
wait $server || true
echo "== ./do test"
chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin ${http_proxy:+http_proxy=$http_proxy} ${https_proxy:+https_proxy=$https_proxy} \
  sh -c 'cd /root/sluice && ./do test'
