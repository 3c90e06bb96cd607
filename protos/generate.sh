#!/usr/bin/env bash
# Generates the stubs: the client package's into CLIENT (default: beside this script), those of the
# Open Inference Protocol, which only the server has, into SERVER (default: the project's root).
# `make stubs` runs it; a test runs it into empty directories and compares. Without arguments the page
# of the contract in docs is written too.
#
# The protos' packages are called `assay`, which is a package of several other distributions: the
# stubs are written as `assay_rpc`. Names on the wire stay.
set -euo pipefail
cd "$(dirname "$0")"
client=${1:-.}
server=${2:-..}
python=${PYTHON:-../.venv/bin/python}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
PATH="$(cd "$(dirname "$python")" && pwd):$PATH" "$python" -m grpc_tools.protoc -I . \
    -I "$("$python" -c 'import grpc_tools, os; print(os.path.join(os.path.dirname(grpc_tools.__file__), "_proto"))')" \
    --python_out="$made" --grpc_python_out="$made" \
    --mypy_out=quiet:"$made" --mypy_grpc_out=quiet:"$made" \
    assay/*/v*/*.proto
(
    cd "$made"
    mv assay/inference .
    mv assay assay_rpc
    find assay_rpc -name '*_pb2*.py*' -exec sed -i 's/^from assay\./from assay_rpc./' {} +
    find inference -name '*_pb2*.py*' -exec sed -i 's/^from assay\.inference\./from services.inference./' {} +
    ! grep -rnE '^ *(from|import) assay\b' .
    # What protoc writes for a file without a service has nothing in it.
    for empty in $(grep -rL '^class ' --include='*_pb2_grpc.py' .); do rm "$empty" "${empty}i"; done
)
mkdir -p "$client" "$server/services"
cp -r "$made/assay_rpc" "$client"
cp -r "$made/inference" "$server/services"
[ $# -gt 0 ] || "$python" ../docs/contract_page.py > ../docs/contract.md
