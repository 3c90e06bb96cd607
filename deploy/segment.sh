#!/bin/sh
# Starts segment with kernels that were compiled when its image was built: in a new pod, compiling
# them takes 16 s of processor time, loading them 1 s.
#   segment.sh compile     in the image's build, as its last step
#   segment.sh [OPTION..]  starts the service
set -eu
# The first process of a container has no default action for a signal: without this, it is lost.
trap "exit 143" TERM INT
kernels=/opt/assay/share/numba
# For any x86-64 with AVX2, not for the processor of the build, which nodes may lack: the same labels and,
# within 4 %, the same speed as with AVX-512. On other processors each pod compiles its own.
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
