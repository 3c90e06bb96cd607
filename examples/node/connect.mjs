// Calls of the ranker's HTTP port with `fetch` only, over Connect: browsers can do the same.
//
//     node connect.mjs http://localhost:50083
const [base] = process.argv.slice(2);
const service = `${base}/assay.ranker.v1.RankerService`;

// A request by POST; a token goes into `authorization: Bearer TOKEN`.
async function call(method, request) {
  const response = await fetch(`${service}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-protocol-version": "1" },
    body: JSON.stringify(request),
  });
  const reply = await response.json();
  if (!response.ok) throw Object.assign(new Error(reply.message), { code: reply.code });
  return reply;
}

const { artifact } = await call("GetArtifact", { artifact: "the-pile" });
console.log(artifact.id, artifact.type);

// A read by GET, which caches may keep.
const message = encodeURIComponent(JSON.stringify({ left: "gpt2", right: "the-pile" }));
const compared = await fetch(`${service}/Compare?connect=v1&encoding=json&message=${message}`);
console.log(compared.status, Object.keys((await compared.json()).left).includes("artifact"));

await call("GetArtifact", { artifact: "no-such-thing" }).catch((error) => console.log(error.code));

// Methods that change something are served over gRPC only.
const refused = await fetch(`${base}/assay.ranker.v1.RankerAdminService/InvalidateCache`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ all: true }),
});
console.log(refused.status);
