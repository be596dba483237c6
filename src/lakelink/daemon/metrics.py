"""Metrics in the Prometheus text format (Prometheus, "Exposition formats", version 0.0.4): names are a contract, as JSON fields are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from lakelink.daemon.process import Usage
from lakelink.model.linkspec import LATENCY_BOUNDS_S, Flow, LinkState, LinkStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]


@dataclass(slots=True)
class Family:
    """A metric: its help, its type, its samples as (suffix, labels, value)."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)

    def add(self, labels: Labels, value: float, suffix: str = "") -> None:
        self.samples.append((suffix, labels, value))

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for suffix, labels, value in self.samples:
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield (
                f"{self.name}{suffix}{{{inner}}} {_number(value)}" if inner else f"{self.name}{suffix} {_number(value)}"
            )


def render(
    links: Sequence[LinkStatus], used: Usage, *, started_s: float, version: str, more: Iterable[Family] = ()
) -> str:
    """The page that a scrape gets; `more` stands at its end."""
    families = [*_process(used, started_s, version), *_states(links), *_flows(links), *_errors(links), *more]
    return "".join(f"{line}\n" for family in families for line in family.lines())


def _process(used: Usage, started_s: float, version: str) -> Iterator[Family]:
    info = Family("lakelink_info", "gauge", "The running version.")
    info.add({"version": version}, 1)
    yield info
    for name, kind, text, value in (
        ("lakelink_start_time_seconds", "gauge", "When the daemon began, since the epoch.", started_s),
        ("lakelink_open_files", "gauge", "Open file descriptors.", used.open_files),
        ("lakelink_max_open_files", "gauge", "Open file descriptors that are allowed.", used.max_open_files),
        ("lakelink_threads", "gauge", "Threads of the daemon.", used.threads),
        ("lakelink_resident_memory_bytes", "gauge", "Resident memory.", used.rss_bytes),
        ("lakelink_cpu_seconds_total", "counter", "Processor time used.", used.cpu_s),
    ):
        family = Family(name, kind, text)
        family.add({}, value)
        yield family


def _states(links: Sequence[LinkStatus]) -> Iterator[Family]:
    state = Family("lakelink_link_state", "gauge", "1 for the state that the link is in.")
    paused = Family("lakelink_link_paused", "gauge", "1 while the link is paused.")
    agreed = Family("lakelink_agreed_paths", "gauge", "Paths that both sides agree on.")
    held = Family("lakelink_held_paths", "gauge", "Changes that no policy of the link carries.")
    conflicts = Family("lakelink_open_conflicts", "gauge", "Conflicts that nobody has resolved.")
    problems = Family("lakelink_problem_paths", "gauge", "Paths that cannot be carried at the moment.")
    survey = Family(
        "lakelink_last_survey_timestamp_seconds", "gauge", "End of the last complete comparison; 0 = none yet."
    )
    for link in links:
        labels = {"link": link.name}
        for each in LinkState:
            state.add(labels | {"state": each.value}, link.state is each)
        paused.add(labels, link.paused)
        agreed.add(labels, link.agreed)
        held.add(labels, link.held)
        conflicts.add(labels, link.conflicts)
        problems.add(labels, link.problems)
        survey.add(labels, link.last_survey_ns / 1e9)
    return iter((state, paused, agreed, held, conflicts, problems, survey))


def _flows(links: Sequence[LinkStatus]) -> Iterator[Family]:
    age = Family(
        "lakelink_age_of_oldest_queued_seconds",
        "gauge",
        "Age of the oldest change that is not carried yet (FSx: AgeOfOldestQueued).",
    )
    pending = Family("lakelink_pending_changes", "gauge", "Changes known and not carried yet.")
    files = Family("lakelink_files_total", "counter", "Files, links and directories whose content was carried.")
    size = Family("lakelink_bytes_total", "counter", "Their bytes.")
    deleted = Family("lakelink_deleted_total", "counter", "Paths removed.")
    metadata = Family("lakelink_metadata_total", "counter", "Paths of which only metadata was carried.")
    latency = Family(
        "lakelink_latency_seconds", "histogram", "From a change as it was noticed to its effect on the other side."
    )
    for link in links:
        for direction, flow in (("import", link.imports), ("export", link.exports)):
            labels = {"link": link.name, "direction": direction}
            age.add(labels, flow.oldest_queued_s)
            pending.add(labels, flow.pending)
            files.add(labels, flow.files)
            size.add(labels, flow.bytes)
            deleted.add(labels, flow.deleted)
            metadata.add(labels, flow.metadata)
            _histogram(latency, labels, flow)
    return iter((age, pending, files, size, deleted, metadata, latency))


def _histogram(family: Family, labels: Labels, flow: Flow) -> None:
    counts = flow.latency_counts or (0,) * (len(LATENCY_BOUNDS_S) + 1)
    bounds = [*(f"{bound:g}" for bound in LATENCY_BOUNDS_S), "+Inf"]
    totals = list(accumulate(counts))
    for bound, total in zip(bounds, totals, strict=True):
        family.add({**labels, "le": bound}, total, "_bucket")
    family.add(labels, flow.latency_sum_s, "_sum")
    family.add(labels, totals[-1], "_count")


def _errors(links: Sequence[LinkStatus]) -> Iterator[Family]:
    errors = Family("lakelink_errors_total", "counter", "Errors by code.")
    for link in links:
        for code, count in link.errors:
            errors.add({"link": link.name, "code": code}, count)
    yield errors


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
