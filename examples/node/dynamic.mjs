// Calls with contracts loaded at run time.
//
//     node dynamic.mjs RANKER CORPUS NAME
//
// RANKER and CORPUS are addresses, NAME is a registered corpus.
import { call, client, failure, load } from "./assay.mjs";

const [ranker, corpus, name] = process.argv.slice(2);

const artifacts = client(load("ranker").assay.ranker.v1.RankerService, ranker);
const { artifact } = await call(artifacts, "getArtifact", { artifact: "the-pile" });
console.log(artifact.id, artifact.type, artifact.license.terms);

const { summary, cache } = await call(artifacts, "compare", { left: "gpt2", right: "the-pile" });
console.log(summary.length > 0, cache.status);

// A failed call has a reason that a program can act on.
await call(artifacts, "getArtifact", { artifact: "no-such-thing" }).catch((error) => {
  const { code, reason, requestId } = failure(error);
  console.log(code, reason, Boolean(requestId));
});
await call(artifacts, "getArtifact", {}).catch((error) => {
  const { reason, violations } = failure(error);
  console.log(reason, violations.map((one) => one.field).join());
});
artifacts.close();

// A stream: each message has documents and the position after them.
const corpora = client(load("corpus").assay.corpus.v1.CorpusService, corpus);
let documents = 0;
let last = Buffer.alloc(0);
let frame;
for await (const message of corpora.streamCorpus({ corpus: { name } })) {
  for (const document of message.documents?.documents ?? []) {
    documents += 1;
    frame = document.frame;
  }
  if (message.cursor.length > 0) last = message.cursor;
}
// Without an index a document has no frame: the field is absent, not 0.
console.log(documents, frame);
let again = 0;
for await (const message of corpora.streamCorpus({ corpus: { name }, cursor: last })) {
  again += message.documents?.documents.length ?? 0;
}
console.log(again);
corpora.close();
