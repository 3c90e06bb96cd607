#!/usr/bin/env bash
# Rewrites the lock files from pyproject.toml (run by `make lock`).
#   base.lock   everything but torch and ray, with hashes
#   torch.lock  torch's friends: transformers, ray, and what they need besides base.lock, with hashes
#   serve-SERVICE.lock  what one service needs to run, and nothing else; versions as in base.lock
#   serve-segment-gpu.lock  the same for segment on GPUs
#   docs.lock   what makes the documentation a site; versions as in base.lock
#   build.lock  what builds the wheels of the images; versions as in base.lock
# None has openvino-telemetry, which reports to the maker.
# torch itself is in neither: its wheel differs between indexes (CPU or CUDA build of one
# version), so a hash would refuse an honest one. The Makefile installs it by exact version.
set -euo pipefail
cd "$(dirname "$0")/.."
compile=(.venv/bin/uv pip compile pyproject.toml --quiet --python-version 3.11 --generate-hashes
         --no-header --no-annotate
         --no-emit-package assay-rpc --no-emit-package openvino-telemetry)
"${compile[@]}" --universal --extra segment --extra corpus --extra corpus-audit --extra build \
    --extra openvino --extra object-storage --extra ranker --extra page --extra postgres --extra tracing --extra dev -o requirements/base.lock

everything=$(mktemp)
trap 'rm -f "$everything"' EXIT
"${compile[@]}" --extra export --extra score --extra adapters --extra ray -c requirements/base.lock -o "$everything"
skip=()
for name in $(grep -oE '^[a-z0-9][a-z0-9._-]*' requirements/base.lock) \
            $(grep -oE '^(torch|triton|cuda-[a-z-]+|nvidia-[a-z0-9-]+)' "$everything"); do
    skip+=(--no-emit-package "$name")
done
"${compile[@]}" --extra export --extra score --extra adapters --extra ray -c requirements/base.lock "${skip[@]}" \
    -o requirements/torch.lock

declare -A extras=([segment]="--extra openvino --extra tracing" [corpus]="--extra openvino --extra object-storage --extra corpus-audit --extra build --extra tracing"
                  [ranker]="--extra page --extra postgres --extra tracing")
for service in segment corpus ranker; do
    # shellcheck disable=SC2086  # no extra, or several words
    "${compile[@]}" --universal --extra "$service" ${extras[$service]:-} -c requirements/base.lock \
        -o "requirements/serve-$service.lock"
done
# For GPUs: onnxruntime-gpu in the place of onnxruntime, with its libraries of CUDA.
"${compile[@]}" --universal --extra segment-gpu --extra tracing -c requirements/base.lock \
    -o requirements/serve-segment-gpu.lock
"${compile[@]}" --universal --extra docs -c requirements/base.lock -o requirements/docs.lock
printf 'setuptools\nwheel\n' | .venv/bin/uv pip compile - --quiet --python-version 3.11 \
    --generate-hashes --no-header --no-annotate \
    --universal -c requirements/base.lock -o requirements/build.lock
