#!/usr/bin/env bash
# Generates the stubs into DIR (default: beside the protos). `make stubs` runs it; a test runs it
# into an empty directory and compares.
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-.}
python=../.venv/bin/python
PATH="$(cd ../.venv/bin && pwd):$PATH" "$python" -m grpc_tools.protoc -I . \
    -I "$("$python" -c 'import grpc_tools, os; print(os.path.join(os.path.dirname(grpc_tools.__file__), "_proto"))')" \
    --python_out="$out" --grpc_python_out="$out" \
    --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" \
    assay/*/v*/*.proto
