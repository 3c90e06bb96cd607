// Calls a server through the stubs that ts-proto generates: a unary call, a stream, an error, and a
// field that is absent.
import * as grpc from "@grpc/grpc-js";
import { CorpusServiceClient } from "./assay/corpus/v1/corpus";
import { DescribeCorpusResponse } from "./assay/corpus/v1/describe";
import { StreamCorpusRequest, StreamCorpusResponse } from "./assay/corpus/v1/stream";
import { BitsPerByte } from "./assay/corpus/v1/scoring";

const client = new CorpusServiceClient(process.argv[2], grpc.credentials.createInsecure());

function name(corpus: string): Promise<string> {
  return new Promise((resolve, reject) =>
    client.getCorpus({ corpus: { name: corpus, digest: "" } }, (error, reply) =>
      error ? reject(error) : resolve(reply.corpus?.ref?.name ?? ""),
    ),
  );
}

async function main(): Promise<void> {
  console.log(await name("over the wire"));
  await name("NOT_FOUND").catch((error: grpc.ServiceError) =>
    console.log(grpc.status[error.code], error.metadata.get("x-request-id")[0]),
  );
  const kinds: string[] = [];
  for await (const message of client.describeCorpus({ corpus: { name: "c", digest: "" } })) {
    kinds.push((message as DescribeCorpusResponse).result ? "result" : "progress");
  }
  console.log(kinds.join(" "));
  const request = StreamCorpusRequest.fromPartial({ corpus: { name: "c" } });
  let documents = 0;
  for await (const message of client.streamCorpus(request)) {
    documents += (message as StreamCorpusResponse).documents?.documents.length ?? 0;
  }
  console.log(documents);
  const nothing = BitsPerByte.decode(BitsPerByte.encode(BitsPerByte.fromPartial({})).finish());
  console.log(nothing.bitsPerByte === undefined, BitsPerByte.fromPartial({ bitsPerByte: 0 }).bitsPerByte);
  client.close();
}

main();
