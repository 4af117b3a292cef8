"""A pytest plugin that counts where Nengo's own suite had its work done, chip or host.

Passing Nengo's tests proves little if the host does all the work: so every Simulator that a test
builds is asked for its placement. Printed at the end, and written as JSON: the tests' outcomes, and
what part of the neurons that have a kernel, and of the connections and synapses between them, ran
on the chip. An object that the chip supports and that ran on the host fails the run.
"""

import functools
import json
import zlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from spikeloom import import_nengo_dl

LEAST_PASSED = 450
LEAST_SHARE = 0.95
KINDS = {"ensemble": "neurons", "connection": "connections", "synapse": "synapses"}


class Work:
    """Counts over many Simulators, in a form that travels between processes."""

    def __init__(self):
        self.counts = Counter()
        self.missed = []
        self.reasons = Counter()

    def add(self, placement, test):
        for item in placement.items:
            size = item.size if item.kind == "ensemble" else 1
            if item.kind not in KINDS:
                continue
            if not item.counted:
                self.counts[f"{item.kind} others {item.where}"] += size
            elif item.exempt:
                self.counts[f"{item.kind} {item.exempt} {item.where}"] += size
            else:
                self.counts[f"{item.kind} supported {item.where}"] += size
                if item.where == "host":
                    self.missed.append([test, item.kind, item.name, size, item.reason])
            if item.where == "host":
                self.reasons[f"{item.kind}: {item.reason}"] += 1

    def to_json(self):
        return {"counts": dict(self.counts), "missed": self.missed, "reasons": dict(self.reasons)}

    def merge(self, data):
        self.counts.update(data["counts"])
        self.missed += data["missed"]
        self.reasons.update(data["reasons"])

    def share(self, kind):
        chip = self.counts[f"{kind} supported chip"]
        total = chip + self.counts[f"{kind} supported host"]
        return chip, total


class WorkCounter:
    """The plugin; one in each worker and one in the process that started them."""

    def __init__(self, config):
        self.config = config
        self.work = Work()
        self.outcomes = Counter()
        self.failed = []
        self.test = ""

    def watch(self, simulator):
        build = simulator.__init__

        @functools.wraps(build)
        def counted(sim, *args, **kwargs):
            build(sim, *args, **kwargs)
            self.work.add(sim.placement, self.test)

        simulator.__init__ = counted

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.test = item.nodeid
        # A network without a seed takes one from NumPy's global generator.
        np.random.seed(zlib.crc32(item.name.encode()))
        if item.originalname == "test_entry_point" and find_spec("nengo_dl"):
            import_nengo_dl()  # the test loads every backend that is installed, NengoDL among them

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            if report.when == "teardown" and report.outcome == "passed":
                return
            outcome = report.outcome
            if hasattr(report, "wasxfail"):  # listed as unsupported, but run all the same
                outcome = "unsupported" if report.skipped else "listed but passed"
            self.outcomes[outcome] += 1
            if outcome in ("failed", "listed but passed"):
                self.failed.append(report.nodeid)

    def pytest_sessionfinish(self, session):
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["work"] = self.work.to_json()
            return
        if self.verdict(self.config.option.least_passed) and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error):
        if "work" in getattr(node, "workeroutput", {}):
            self.work.merge(node.workeroutput["work"])

    def verdict(self, least_passed):
        """Complaints; none if all is well."""
        found = []
        if self.outcomes["passed"] < least_passed:
            found.append(f"only {self.outcomes['passed']} tests passed, not {least_passed}")
        if self.outcomes["listed but passed"]:
            found.append("some tests listed as unsupported pass: take them off the list")
        for kind, plural in KINDS.items():
            chip, total = self.work.share(kind)
            if chip < LEAST_SHARE * total:
                found.append(f"only {chip} of {total} supported {plural} ran on the chip")
        if self.work.missed:
            found.append(f"{len(self.work.missed)} supported objects ran on the host")
        return found

    def pytest_terminal_summary(self, terminalreporter):
        report = terminalreporter
        report.section("where the work was done")
        total = sum(self.outcomes.values())
        outcomes = ", ".join(f"{n} {name}" for name, n in sorted(self.outcomes.items()))
        report.write_line(f"Nengo's tests with a Simulator: {total}: {outcomes}")
        for kind, plural in KINDS.items():
            chip, count = self.work.share(kind)
            part = 100 * chip / count if count else 100.0
            apart = ", ".join(
                f"{n} {key.removeprefix(kind + ' ')}"
                for key, n in sorted(self.work.counts.items())
                if key.startswith(f"{kind} ") and " supported " not in key
            )
            report.write_line(
                f"{plural} that the chip supports, on the chip: {chip} of {count} "
                f"({part:.2f} %); apart from these: {apart or 'none'}"
            )
        for test, kind, name, _, reason in self.work.missed[:20]:
            report.write_line(
                f"on the host, although supported: {kind} {name} ({reason}) in {test}"
            )
        for complaint in self.verdict(self.config.option.least_passed):
            report.write_line(f"FAILED: {complaint}", red=True)
        path = self.config.option.work_json
        if path:
            data = {"outcomes": dict(self.outcomes), "failed": self.failed, **self.work.to_json()}
            Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
            report.write_line(f"written: {path}")


def pytest_addoption(parser):
    group = parser.getgroup("spikeloom")
    group.addoption("--work-json", default=None, help="write counts and outcomes to this file")
    group.addoption(
        "--least-passed", type=int, default=LEAST_PASSED, help="fail if fewer tests pass"
    )


def pytest_configure(config):
    import nengo

    import spikeloom

    nengo.rc.set("decoder_cache", "enabled", "False")  # it would hide what solvers differ in
    counter = WorkCounter(config)
    counter.watch(spikeloom.Simulator)
    config.pluginmanager.register(counter, "spikeloom-work")
