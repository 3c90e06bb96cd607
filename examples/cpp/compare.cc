// Compares two artifacts: ./compare localhost:50053 gpt2 the-pile
#include <grpcpp/grpcpp.h>

#include <iostream>

#include "assay/ranker/v1/ranker.grpc.pb.h"

namespace ranker = assay::ranker::v1;

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: compare ADDRESS LEFT RIGHT\n";
    return 2;
  }
  auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  auto stub = ranker::RankerService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  ranker::CompareRequest request;
  request.set_left(argv[2]);
  request.set_right(argv[3]);
  ranker::CompareResponse reply;
  grpc::Status status = stub->Compare(&context, request, &reply);
  if (!status.ok()) {
    std::cerr << status.error_code() << ": " << status.error_message() << "\n";
    return 1;
  }
  for (const auto& side : {reply.left(), reply.right()}) {
    std::cout << side.artifact().id() << ": " << side.claims_size() << " claims, ";
    // An unknown value is absent, never 0.
    if (side.score().has_point()) {
      std::cout << side.score().point() << " of 100\n";
    } else {
      std::cout << "no score\n";
    }
  }
  std::cout << reply.summary() << "\n";
}
