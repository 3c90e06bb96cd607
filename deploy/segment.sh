#!/bin/sh
# Starts segment with kernels that were compiled when its image was built: compiling them takes a new
# pod 16 s of a processor, loading them 1 s.
#   segment.sh compile     in the image's build, as its last step
#   segment.sh [OPTION..]  starts the service
set -eu
# The first process of a container has no default for a signal: it is lost without this.
trap "exit 143" TERM INT
kernels=/opt/assay/share/numba
# Not for the processor of the build, which no node needs to have, but for any x86-64 with AVX2: the same
# labels and, within 4 %, the same speed as with AVX-512. Elsewhere each pod compiles its own.
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo; then
    export NUMBA_CPU_NAME=x86-64-v3
    export NUMBA_CPU_FEATURES=+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sse4.2,+xsave
fi
if [ "${1:-}" = compile ]; then
    NUMBA_CACHE_DIR=$kernels exec python compile_kernels.py
fi
# numba uses a folder only if it may write there.
mkdir -p "$NUMBA_CACHE_DIR"
cp -R "$kernels/." "$NUMBA_CACHE_DIR"
exec python -m services.segment "$@"
