// Shared by the examples: the contracts loaded at run time, channels, and errors with their reasons.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const here = dirname(fileURLToPath(import.meta.url));

// The folder that holds `assay`: this checkout's `protos`, or `assay_rpc/protos` of the wheel.
export const contracts = process.env.CONTRACTS ?? join(here, "..", "..", "protos");

// Absent fields stay absent: an unknown value is undefined, never 0. 64-bit integers are strings,
// because a number in JavaScript holds 53 bits; enums are their names.
const options = { longs: String, enums: String, defaults: true, oneofs: true };

// Services and messages by package: `load("ranker").assay.ranker.v1.RankerService`.
export function load(name) {
  const folder = join(contracts, "assay", name, "v1");
  const files = readdirSync(folder).filter((file) => file.endsWith(".proto"));
  const found = loadSync(files.map((file) => join(folder, file)), {
    ...options,
    includeDirs: [contracts],
  });
  return grpc.loadPackageDefinition(found);
}

// A client of a service. `serviceConfig` is assay_rpc/service_config.json: deadlines and retries.
export function client(Service, address, { token, serviceConfig } = {}) {
  const more = serviceConfig
    ? { "grpc.service_config": readFileSync(serviceConfig, "utf8") }
    : {};
  const interceptors = token
    ? [
        (options, next) =>
          new grpc.InterceptingCall(next(options), {
            start(metadata, listener, following) {
              metadata.set("authorization", `Bearer ${token}`);
              following(metadata, listener);
            },
          }),
      ]
    : [];
  return new Service(address, grpc.credentials.createInsecure(), { ...more, interceptors });
}

// Calls a unary method.
export function call(client, method, request) {
  return new Promise((resolve, reject) =>
    client[method](request, (error, reply) => (error ? reject(error) : resolve(reply))),
  );
}

const details = loadSync(join(here, "google_rpc.proto"), options);

// The error of a failed call: its code, a reason that a program can act on, the wrong fields.
export function failure(error) {
  const found = {
    code: grpc.status[error.code],
    message: error.details,
    requestId: error.metadata.get("x-request-id")[0],
    reason: "",
    violations: [],
  };
  const [status] = error.metadata.get("grpc-status-details-bin");
  if (!status) return found;
  for (const { typeUrl, value } of details["google.rpc.Status"].deserialize(status).details) {
    const name = typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
    if (!(name in details)) continue;
    const detail = details[name].deserialize(value);
    if (name === "google.rpc.ErrorInfo" && detail.domain === "assay") found.reason = detail.reason;
    if (name === "google.rpc.BadRequest") found.violations = detail.fieldViolations;
  }
  return found;
}
