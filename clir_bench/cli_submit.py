"""The verbs that submissions go through: submit, audit, record, review."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clir_bench.errors import SubmissionError

if TYPE_CHECKING:
    from clir_bench.submit import Entry

Verb = Callable[[str, Callable[[argparse.Namespace], int], str, str], argparse.ArgumentParser]
_REASONS = ("rerun", "bugfix", "new_revision")
_DECISIONS = ("flagged", "copied", "cleared", "withdrawn")


def add_submit(verb: Verb) -> None:
    """Add the verbs."""
    p = verb(
        "submit",
        _submit,
        "check a submission, put it in its place, and say how to open the pull request",
        "clir-bench submit results/my__model/native/sample-v1.json",
    )
    p.add_argument("file", help="a submission")
    p.add_argument("--submissions", default="submissions", help="the folder of submissions (default: %(default)s)")
    p.add_argument("--corrects", metavar="PATH", help="the submission that this one stands in place of")
    p.add_argument("--reason", choices=_REASONS, help="why")
    p.add_argument("--note", help="of the correction, in a sentence")
    p.add_argument("--dry-run", action="store_true", help="write nothing")
    p.add_argument("--record", action="store_true", help="for maintainers: append to the event log that it was accepted")
    p.add_argument("--by", metavar="NAME", help="who records it")

    p = verb("audit", _audit, "compare a submission with a second, independent run", "clir-bench audit submissions/A/native/sample-v1.json rerun.json")
    p.add_argument("file", help="a submission in its place")
    p.add_argument("rerun", help="what a second run of the system gave")
    p.add_argument("--queries", type=int, default=2000, help="evaluated queries compared, chosen by hash (default: %(default)s)")
    p.add_argument("--submissions", default="submissions", help="the folder of submissions (default: %(default)s)")
    p.add_argument("--record", action="store_true", help="for maintainers: append to the event log that it was reproduced")
    p.add_argument("--by", metavar="NAME", help="who ran it again")

    p = verb(
        "record",
        _record,
        "for maintainers: append to the event log what was decided of a submission",
        'clir-bench record cleared submissions/A/native/sample-v1.json --by NAME --note "the same weights under both names"',
    )
    p.add_argument("decision", choices=_DECISIONS, help="flagged: a doubt; copied: flagged as a copy; cleared: of all flags; withdrawn: off the board")
    p.add_argument("file", help="a submission in its place")
    p.add_argument("--by", metavar="NAME", required=True, help="who decides it")
    p.add_argument("--note", required=True, help="why, in a sentence")
    p.add_argument("--submissions", default="submissions", help="the folder of submissions (default: %(default)s)")

    p = verb("review", _review, "judge the submissions of a pull request, as CI does", "clir-bench review base head")
    p.add_argument("base", help="a checkout of the main branch")
    p.add_argument("head", help="a checkout of the pull request merged into it")


def _submit(o: argparse.Namespace) -> int:
    from clir_bench import submit

    folder, file = Path(o.submissions), Path(o.file)
    if bool(o.corrects) != bool(o.reason):
        raise SubmissionError(f"--corrects and --reason go together: say what is corrected, and why ({', '.join(_REASONS)})")
    _check_recorder(o)
    correction = submit.correct(Path(o.corrects), folder, file, o.reason, o.note) if o.corrects else None
    entry = submit.prepare(file, folder, correction=correction)
    there = (folder / entry.path).exists()
    if not o.dry_run:
        submit.write(entry, folder)
        if o.record:
            submit.record(entry, folder, o.by)
    steps = [] if entry.copied else submit.pull_request_steps(entry, folder)  # nobody is led to push what another model answered
    if o.json:
        print(json.dumps({**_as_record(entry), "written": not o.dry_run and not there, "steps": steps}, indent=1, ensure_ascii=False))
        return 0
    if not o.quiet:
        if entry.copied:
            print(_copy_words(entry))
        print(f"{entry.submission.system.name} ({entry.submission.system.variant}) on {entry.submission.task.name} v{entry.submission.task.version}")
        if entry.correction:
            print(f"replaces: {entry.correction}")
        print(f"trust: {entry.assessment.trust}\n" + "\n".join(f"  {reason}" for reason in entry.assessment.reasons))
        print(f"contamination: {entry.contamination.state}\n  {entry.contamination.reason}")
        print(f"landing: {_landing(entry)}")
        for found in entry.likenesses:
            if found not in entry.copied:
                print(f"{found.kind}: {found.text}")
        if steps:
            print("next:\n" + "\n".join(f"  {step}" for step in steps))
    print(f"{'in its place:' if there else 'would write' if o.dry_run else 'wrote'} {folder / entry.path}")
    return 0


def _copy_words(entry: Entry) -> str:
    """That it is a copy, of what, and what follows."""
    first, *others = (found.path for found in entry.copied)
    of = f"{first}{f' (and of {len(others):,} more)' * bool(others)}"
    return (
        f"copy: all {entry.copied[0].telling:,} ranks that tell systems apart are those of {of}, another model\n"
        "  If it is that model: name it so in system.name, system.stages and system.signature, and submit again. If it is not: say in notes why the two agree."
        " The review of a pull request tells this, the log keeps it (copied), the board gives it no rank, and a maintainer decides; so no steps are given."
    )


def _audit(o: argparse.Namespace) -> int:
    from clir_bench.audit import MOST_DIFFERENCE, NEAR, audit
    from clir_bench.compare import read_both
    from clir_bench.events import LOG, append_event, read_events, sha256_of
    from clir_bench.submission import path_of
    from clir_bench.trust import assess, state_of

    _check_recorder(o)
    first, second = read_both(o.file, o.rerun)
    for path, submission in ((o.file, first), (o.rerun, second)):
        if (found := assess(submission)).trust != "recomputed":
            raise SubmissionError.of(f"{path}: an audit compares gold ranks that hold, but it is {found.trust}", found.reasons)
    result, folder, flags = audit(first, second, o.queries), Path(o.submissions), tuple[str, ...]()
    if o.record and not result.failures:
        log, path, sha256 = folder / LOG, path_of(first).as_posix(), sha256_of(Path(o.file).read_bytes())
        if not any(event.event == "accepted" and event.sha256 == sha256 for event in read_events(log)):
            raise SubmissionError(f"{log}: {path} was not accepted yet. clir-bench submit {o.file} --record --by NAME")
        note = f"{result.queries} queries, {100 * result.near:.1f} % of gold ranks within {NEAR}, {second.provenance.cpu}"
        flags = state_of(sha256, assess(first), read_events(log)).flags
        append_event(log, "reproduced", path, sha256, trust="recomputed" if flags else "reproduced", by=o.by, note=note)
    if o.json:
        print(json.dumps({**result._asdict(), "reproduced": not result.failures}, indent=1))
        return 2 if result.failures else 0
    print(f"{result.queries:,} evaluated queries, {result.documents:,} gold ranks: {100 * result.equal:.1f} % equal, {100 * result.near:.1f} % within {NEAR}")
    for name, difference in result.differences.items():
        print(f"{name:>9}: {100 * difference:+.2f} points (less than {100 * MOST_DIFFERENCE:.1f} is allowed)")
    if result.failures:
        raise SubmissionError.of(f"{o.file} is not reproduced", result.failures)
    print(f"reproduced{f', recorded in {folder / LOG}' if o.record else ''}")
    if flags:
        print(f"  but flagged, and recomputed only until it is cleared: {'; '.join(flags)}\n  clir-bench record cleared {o.file} --by NAME --note TEXT")
    return 0


def _record(o: argparse.Namespace) -> int:
    from clir_bench.decisions import decide, on_the_board
    from clir_bench.events import LOG

    folder = Path(o.submissions)
    event = decide(o.decision, Path(o.file), folder, o.by, o.note)
    shown = on_the_board(folder, event.path)
    if o.json:
        print(json.dumps({**event.model_dump(mode="json"), "shown": shown}, indent=1, ensure_ascii=False))
    else:
        if not o.quiet:
            print(f"{event.event}: {event.path}, recorded in {folder / LOG}")
        print(f"on the board: {shown}")
    return 0


def _review(o: argparse.Namespace) -> int:
    from clir_bench.pull_request import as_markdown, review

    found = review(Path(o.base), Path(o.head))
    if o.json:
        record = {**found._asdict(), "entries": [_as_record(entry) for entry in found.entries]}
        print(json.dumps(record, indent=1, ensure_ascii=False))
    else:
        print(as_markdown(found), end="")
    return 2 if found.problems else 0


def _check_recorder(o: argparse.Namespace) -> None:
    if bool(o.record) != bool(o.by):
        raise SubmissionError("--record and --by go together: the log says who")


def _as_record(entry: Entry) -> dict[str, object]:
    """The entry as JSON says it."""
    return {
        "path": entry.path,
        "sha256": entry.sha256,
        "replaces": entry.replaces,
        "trust": entry.assessment.trust,
        "reasons": entry.assessment.reasons,
        "contamination": entry.contamination._asdict(),
        "likenesses": [found._asdict() for found in entry.likenesses],
        "landing": entry.landing._asdict(),
    }


def _landing(entry: Entry) -> str:
    from clir_bench.exhibits.landing import landing_words

    at, s = entry.landing, entry.submission
    where = f"rank {at.rank} of {at.of} complete ones" if at.rank else f"no rank: {at.why}"
    beside = "".join(f"\n  {side} it: {100 * n.mean:.1f} %, {n.path}" for side, n in (("above", at.above), ("below", at.below)) if n)
    tested = "".join(f"\n  {words}" for words in landing_words(at))
    return f"{at.measure} {100 * at.mean:.1f} % over {len(s.pairs)} pairs; {where}{beside}{tested}"
