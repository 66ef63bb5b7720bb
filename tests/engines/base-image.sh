#!/bin/sh
# Make the root file system that test images start from, as a tar file: base-image.sh FILE.tar
# Debian with Python, pip and node, so that the examples' Dockerfiles build on it where no registry can be reached.
# What the tests need of this machine to install packages in a build (CA certificates, pip's `cert`) is carried along.
set -eu

target=$1
if [ -f "$target" ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null; then
    echo "the base image needs root and debootstrap" >&2
    exit 1
fi

folder=$(dirname "$target")
mkdir -p "$folder"
work=$(mktemp -d "$folder/base-image.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

root=$work/root
debootstrap --variant=minbase \
    --include=python3,python3-pip,python3-venv,nodejs,procps,ca-certificates \
    bookworm "$root" "${MODELPORT_TEST_DEBIAN_MIRROR:-http://deb.debian.org/debian}"

# The public Python image calls the interpreter `python` and lets pip install system-wide: so does this one.
ln -sf /usr/bin/python3 "$root/usr/local/bin/python"
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/*

certificates=/etc/ssl/certs/ca-certificates.crt
if [ -f "$certificates" ]; then
    cp "$certificates" "$root$certificates"
    # Debian's pip brings no certificates of its own; one that is installed later does.
    printf '[global]\ncert = %s\ndisable-pip-version-check = true\nroot-user-action = ignore\n' "$certificates" >"$root/etc/pip.conf"
fi

tar -C "$root" --numeric-owner --one-file-system -cf "$work/base.tar" .
mv "$work/base.tar" "$target"
