# Compares two artifacts: ruby compare.rb localhost:50053 gpt2 the-pile
#
# Generate the stubs once, with the plugin of Debian's protobuf-compiler-grpc or of the gem grpc-tools:
#   protoc -I ../../protos --ruby_out=stubs --grpc_out=stubs \
#       --plugin=protoc-gen-grpc="$(command -v grpc_ruby_plugin)" \
#       $(cd ../../protos && ls assay/common/v1/*.proto assay/ranker/v1/*.proto)

$LOAD_PATH.unshift File.join(__dir__, "stubs")
require "assay/ranker/v1/ranker_services_pb"

address, left, right = ARGV
abort "usage: compare.rb ADDRESS LEFT RIGHT" unless right
stub = Assay::Ranker::V1::RankerService::Stub.new(address, :this_channel_is_insecure, timeout: 10)
begin
  reply = stub.compare(Assay::Ranker::V1::CompareRequest.new(left: left, right: right))
rescue GRPC::BadStatus => error
  abort "#{error.code}: #{error.details}"
end
[reply.left, reply.right].each do |side|
  # An unknown value is absent, never 0.
  score = side.score&.has_point? ? "#{side.score.point} of 100" : "no score"
  puts "#{side.artifact.id}: #{side.claims.size} claims, #{score}"
end
puts reply.summary
