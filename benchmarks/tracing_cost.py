"""Calls a second of processor time, with traces off and on.

    python -m benchmarks.tracing_cost [--rounds N] [--no-result]

A segment and a ranker with a Redis run three times: without traces, with one trace in twenty, as in
the component `tracing`, and with every trace. All get the same calls in turns. The processor time
of their processes is compared, since other work on a shared machine changes the elapsed time. A
collector takes the spans. The ranker's call is the cheapest one, a comparison that it has computed
before.

Writes results/tracing_cost.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from assay_rpc.channel import connect

from benchmarks import report
from benchmarks.access_cost import call_of, spent_in_turns
from benchmarks.faults.running import Running
from benchmarks.faults.stores import redis_program
from benchmarks.serving import free_port
from tests.collector import Collector

_CALLS = {"segment": 40, "ranker": 400}
_ON = {"every trace": "1", "one trace in twenty": "0.05"}


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Yield the URL of a separate Redis, or an empty one if there is no redis-server."""
    program = redis_program()
    if program is None:
        yield ""
        return
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL) as process:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def calls_a_second(name: str, folder: Path, rounds: int) -> dict[str, float]:
    """Calls per second of processor time, by the share of traces."""
    prefix = f"ASSAY_{name.upper()}_"
    with ExitStack() as opened:
        url, collector = opened.enter_context(_redis(folder)), opened.enter_context(Collector())
        services = {}
        for kind, share in {"off": "", **_ON}.items():
            own = folder / f"{name}-{share or 'off'}"
            variables = {
                "ASSAY_HOME": str(folder / "home"),
                "REDIS_URL": url,
                "ASSAY_RANKER_DATABASE": str(own / "evidence.sqlite"),
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.variables["OTEL_EXPORTER_OTLP_ENDPOINT"],
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": share,
                f"{prefix}TRACING": str(bool(share)).lower(),
            }
            service = opened.enter_context(Running(name, own, variables))
            services[kind] = service, call_of(name, opened.enter_context(connect(service.address)))
        took = spent_in_turns(services, _CALLS[name], rounds)
    # Means, because the system counts hundredths of a second, and a round takes only a few.
    return {kind: _CALLS[name] / statistics.mean(spent) for kind, spent in took.items()}


def main() -> None:
    """Measure both services."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--no-result", action="store_true", help="write no result")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="assay-tracing-") as scratch:
        for name in _CALLS:
            rates = calls_a_second(name, Path(scratch), options.rounds)
            rows += [
                report.row(
                    f"{name}: calls in a second of a processor, with {kind}",
                    *("the same service without traces", rates[kind], rates["off"], "a second"),
                    target=1 / 1.05,
                )
                for kind in _ON
            ]
    if not options.no_result:
        packages = ("grpcio", "openvino", "opentelemetry-sdk")
        report.write("tracing_cost", rows, packages=packages)


if __name__ == "__main__":
    main()
