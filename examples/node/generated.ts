// Calls with stubs that ts-proto generated, all typed: `npm run build`, then
//
//     node generated.js SEGMENT MODEL PICTURE CORPUS NAME
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import { CorpusServiceClient } from "./assay/corpus/v1/corpus.js";
import { StreamCorpusRequest, type StreamCorpusResponse } from "./assay/corpus/v1/stream.js";
import {
  SegmentImageRequest,
  type SegmentImageResponse,
  SegmentServiceClient,
} from "./assay/segment/v1/segment.js";

const [segment, model, picture, corpus, name] = process.argv.slice(2) as [
  string, string, string, string, string,
];

const labels = new SegmentServiceClient(segment, grpc.credentials.createInsecure());
const request = SegmentImageRequest.fromPartial({
  model: { name: model },
  image: { encoded: readFileSync(picture) },
});
const reply = await new Promise<SegmentImageResponse>((resolve, reject) =>
  labels.segmentImage(request, (error, found) => (error ? reject(error) : resolve(found))),
);
const shares = reply.classes.reduce((sum, one) => sum + one.share, 0);
console.log(reply.labels?.height, reply.labels?.width, shares.toFixed(3));
// No class was filtered out, so there is no value for filtered ones.
console.log(reply.labels?.filteredValue);
labels.close();

const corpora = new CorpusServiceClient(corpus, grpc.credentials.createInsecure());
let texts = "";
for await (const message of corpora.streamCorpus(
  StreamCorpusRequest.fromPartial({ corpus: { name } }),
)) {
  for (const document of (message as StreamCorpusResponse).documents?.documents ?? []) {
    texts += `${Buffer.from(document.text).toString("utf8")};`;
  }
}
console.log(texts);
corpora.close();
