#!/usr/bin/env bash
# Generates the stubs and compiles compare.cc. Needs g++, protoc, grpc_cpp_plugin and gRPC's headers
# (Debian: g++ protobuf-compiler-grpc libgrpc++-dev). CONTRACTS names the contracts' folder.
set -euo pipefail
cd "$(dirname "$0")"
contracts=${CONTRACTS:-../../protos}
mkdir -p stubs
(cd "$contracts" && ls assay/common/v1/*.proto assay/ranker/v1/*.proto) | xargs protoc -I "$contracts" \
    --cpp_out=stubs --grpc_out=stubs --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)"
find stubs -name '*.cc' ! -name '*.grpc.pb.cc' -print0 | xargs -0 -P 2 -I{} sh -c \
    'g++ -std=c++17 -w -Istubs $(pkg-config --cflags grpc++ protobuf) -c "$1" -o "${1%.cc}.o"' sh {}
g++ -std=c++17 -w -Istubs $(pkg-config --cflags grpc++ protobuf) -o compare compare.cc \
    stubs/assay/ranker/v1/ranker.grpc.pb.cc $(find stubs -name '*.o') $(pkg-config --libs grpc++ protobuf)
