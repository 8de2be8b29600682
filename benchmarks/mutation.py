"""How many small changes of the course's code do its own tests notice?

    make mutants                                                        # the sample of seed 1, or its rest
    .venv-homes/bin/python benchmarks/mutation.py --seed 2 --count 500  # another sample
    .venv-homes/bin/python benchmarks/mutation.py --survivors           # those once more, after tests were added
    .venv-homes/bin/python benchmarks/mutation.py --exhibits            # the bugs of the museum instead of a sample

A mutant is the course with one place changed: by the operators of Cosmic Ray, or by those of learning_mutations.py. Its
places are all code of course_utils, but for annotations and doc-strings, and all code cells of the notebooks. A seeded
sample of them is judged, each by what `make test` runs. A package mutant meets its module's own quick tests, then all
others, then the notebooks (but not where an exercise was changed: the notebooks hold no answers). A notebook mutant
meets its notebook and, in a set-up cell, the tests of what that does, but not those of notebooks as files, which a
changed text would fail as well as a changed behaviour. The first failure kills a mutant, and so does a run of ten times
the usual length.

Each verdict is kept as it comes, in mutants-<seed>.jsonl: a run that was stopped goes on where it was. The report is
MUTATION.md; what mutation-notes-<seed>.md says of a sample, written by hand, is a part of it. equivalent_mutants.toml
names the survivors that behave as the course itself does. The report on the exhibits of the bug museum, each put into
the course's own code, is EXHIBITS.md.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import difflib
import functools
import hashlib
import inspect
import json
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import textwrap
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import learning_mutations
import nbformat
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from provenance import commit
from tqdm.auto import tqdm

from course_utils.exhibits import BATCH_SIZE, EXHIBITS, Exhibit

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "mutation"
REPORT = ROOT / "benchmarks" / "MUTATION.md"
EXHIBITS_REPORT = ROOT / "benchmarks" / "EXHIBITS.md"
EQUIVALENT = ROOT / "benchmarks" / "equivalent_mutants.toml"
PYTHON = ROOT / ".venv" / "bin" / "python"
GOAL = 0.95
SET_UP_CELL = 1  # In [1] of every notebook
# What stands in lines that only a GPU can run.
GPU_ONLY = ("uncovered: only a GPU runs it", "torch.cuda.get_rng_state", "torch.cuda.synchronize")

PYTEST = ("-m", "pytest", "-x", "-p", "no:cacheprovider")
QUICK = (*PYTEST, "-m", "not slow", "--disable-plugin-autoload")  # nbval's import alone takes two seconds
NBVAL = (*PYTEST, "-c", "tests/nbval.ini", "--rootdir=.")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a program can be changed, and how."""

    file: str  # as the repository names it
    cell: int | None  # In [cell] of a notebook
    kind: str
    number: int  # among the places of this kind, in this program
    line: int

    def named(self) -> str:
        return f"{self.file}{f' In [{self.cell}]' if self.cell else ''}:{self.line}"


def equivalent_mutants() -> dict[tuple[str, str, str], str]:
    """Why no test can tell these from the course itself."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["mutant"]
    return {(entry["file"], entry["before"], entry["after"]): entry["why"] for entry in entries}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one mutant."""

    place: Place
    before: str
    after: str
    killed_by: str | None = None
    survived: int = 0  # so many of the commands that judge it
    seconds: float = 0.0

    @property
    def waits(self) -> bool:
        if self.killed_by is not None or (self.survived and self.key in equivalent_mutants()):
            return False
        return self.survived < len(stages(self.place))

    @property
    def key(self) -> tuple[str, str, str]:
        return self.place.file, self.before, self.after


# --- places -----------------------------------------------------------------------------------------------------------


def programs() -> dict[tuple[str, int | None], str]:
    """All code that is mutated: modules, and the cells of notebooks by the number they were run with."""
    found: dict[tuple[str, int | None], str] = {}
    for path in sorted((ROOT / "course_utils").rglob("*.py")):
        found[path.relative_to(ROOT).as_posix(), None] = path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                found[path.relative_to(ROOT).as_posix(), cell.execution_count] = cell.source
    return found


def places(file: str, cell: int | None, source: str) -> list[Place]:
    """Every place of a program at which something that runs can be changed."""
    found = []
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        if get_operator(name).arguments():
            continue  # these insert names that must be given
        operator = get_operator(name)()
        spans = [span for node in nodes for span in operator.mutation_positions(node)]
        kind = name.removeprefix("core/")
        found += [Place(file, cell, kind, number, start[0]) for number, (start, _) in enumerate(spans)]
    numbers: Counter = Counter()
    for kind, line, _ in learning_mutations.mutations(source):
        found.append(Place(file, cell, kind, numbers[kind], line))
        numbers[kind] += 1
    return found


def changed(place: Place, source: str) -> str | None:
    """The program with this place changed, or None where nothing that runs is different."""
    if " " in place.kind:
        same_kind = [new for kind, _, new in learning_mutations.mutations(source) if kind == place.kind]
        new = same_kind[place.number]
    else:
        new = mutate_code(source, get_operator(f"core/{place.kind}")(), place.number)
    try:
        return None if new is None or _what_runs(new) == _what_runs(source) else new
    except SyntaxError:
        return None


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _what_runs(source: str) -> str:
    return ast.dump(_WithoutAnnotations().visit(ast.parse(source)))


def sample(seed: int, count: int) -> tuple[list[tuple[Place, str]], int]:
    """(place, changed program) for `count` places drawn without replacement, and how many places there are."""
    everything = programs()
    drawn = [(place, source) for (file, cell), source in everything.items() for place in places(file, cell, source)]
    drawn.sort(key=lambda pair: _lot(seed, pair[0]))
    chosen: list[tuple[Place, str]] = []
    tried = 0
    with tqdm(desc="drawn", total=count) as bar:
        for place, source in drawn:
            if len(chosen) == count:
                break
            tried += 1
            new = changed(place, source)
            if new is not None:
                chosen.append((place, new))
                bar.update()
    return chosen, round(len(drawn) * len(chosen) / tried)


def _lot(seed: int, place: Place) -> str:
    """A random order in which a change of one file leaves the places of all others where they were."""
    return hashlib.sha256(f"{seed} {place.file} {place.cell} {place.kind} {place.number}".encode()).hexdigest()


def kept_sample(seed: int, count: int) -> tuple[list[tuple[Place, str]], int]:
    """The sample, drawn once for the same code: drawing takes minutes."""
    code = hashlib.sha256(repr(programs()).encode()).hexdigest()[:12]
    path = BUILD / f"sample-{seed}-{count}-{code}.json"
    if not path.exists():
        chosen, n_places = sample(seed, count)
        path.write_text(json.dumps([n_places, [(dataclasses.asdict(place), new) for place, new in chosen]]))
    n_places, chosen = json.loads(path.read_text())
    return [(Place(**place), new) for place, new in chosen], n_places


def exhibits() -> list[tuple[Place, str]]:
    """Each bug of the museum, put into the module whose part it takes: appended there, under the part's own name."""
    mutants = []
    for name, exhibit in EXHIBITS.items():
        file = getattr(exhibit.home, exhibit.part).__module__.replace(".", "/") + ".py"
        source = (ROOT / file).read_text(encoding="utf-8")
        mutants.append((Place(file, None, f"exhibit {name}", 0, source.count("\n") + 1), source + _appended(exhibit)))
    return mutants


def _appended(exhibit: Exhibit) -> str:
    pieces = [exhibit.sick]
    if isinstance(exhibit.sick, type):  # with those that it stands on
        pieces = [kind for kind in reversed(exhibit.sick.__mro__) if kind.__module__ == Exhibit.__module__]
    code = "\n".join(inspect.getsource(piece) for piece in pieces)
    return f"""

def _exhibit({exhibit.part}):
    import dataclasses
    from typing import Any
    from unittest.mock import patch

    from torch.nn import functional as F

    from course_utils.task import END_TOKEN

    BATCH_SIZE = {BATCH_SIZE}

{textwrap.indent(code, "    ")}
    return {exhibit.sick.__name__}


{exhibit.part} = _exhibit({exhibit.part})
"""


# --- judging ----------------------------------------------------------------------------------------------------------


def own_tests(file: str) -> list[str]:
    """The quick tests of one module, which find most of its mutants in seconds."""
    name = Path(file).stem
    if match := re.fullmatch(r"exercises_0(\d)", name):
        return ["tests/test_teaching.py", "-k", f"[{match[1]}."]
    if "/teaching/" in file and not (ROOT / f"tests/test_{name}.py").exists():
        return ["tests/test_teaching.py", "-k", " and ".join(f"not [{number}." for number in range(1, 7))]
    named = {"__init__": "package", "__main__": "command_line", "errors": "faults"}
    return [f"tests/test_{named.get(name, name)}.py"]


def stages(place: Place) -> list[tuple[str, ...]]:
    """The commands that judge a mutant, the quickest first: what `make test` runs."""
    if place.file.startswith("notebooks/"):
        notebook = (*NBVAL, place.file)
        if place.cell != SET_UP_CELL:
            return [notebook]
        return [notebook, (*PYTEST, "tests/test_notebooks.py", "-k", f"a_set_up_that and {Path(place.file).stem}")]
    own = (*QUICK, *own_tests(place.file))
    if "/exercises_" in place.file:
        return [own, PYTEST]
    notebooks = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb"))
    return [own, PYTEST, *((*NBVAL, notebook) for notebook in notebooks)]


class Workshop:
    """A copy of the course in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, tracked.stdout.split("\0")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(ROOT / ".venv")

    def usual_seconds(self, command: tuple[str, ...]) -> float:
        """How long the course as it is takes. Where it fails, a failure says nothing of a mutant."""
        began = time.perf_counter()
        if failed := self.failure(command, 3600):
            raise SystemExit(f"The course itself fails {failed}: mend that first.")
        return time.perf_counter() - began

    def judge(self, verdict: Verdict, new: str, usual: dict[tuple[str, ...], float]) -> Verdict:
        """What the next command says of a mutant."""
        path = self.folder / verdict.place.file
        original = path.read_bytes()
        command = stages(verdict.place)[verdict.survived]
        began = time.perf_counter()
        try:
            path.write_text(_with_code(original.decode(), verdict.place.cell, new), encoding="utf-8")
            killed_by = self.failure(command, 10 * usual[command])
        finally:
            path.write_bytes(original)
        return dataclasses.replace(
            verdict,
            killed_by=killed_by,
            survived=verdict.survived + (killed_by is None),
            seconds=round(verdict.seconds + time.perf_counter() - began, 1),
        )

    def failure(self, command: tuple[str, ...], seconds: float) -> str | None:
        """What failed first when the command ran here, or None. One thread, so that two workshops do not meet."""
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # a file changed twice in a second would be read from its old bytecode
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            [PYTHON, *command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "too slow"
        finally:
            _end(process)
        if process.returncode == 0:
            return None
        failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", printed, re.MULTILINE)
        return failed[0] if failed else f"exit status {process.returncode} of {command[-1]}"


def _end(process: subprocess.Popen) -> None:
    """End a test run with all its kernels."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def _with_code(text: str, cell: int | None, new: str) -> str:
    if cell is None:
        return new
    notebook = nbformat.reads(text, as_version=4)
    next(one for one in notebook.cells if one.get("execution_count") == cell)["source"] = new
    return nbformat.writes(notebook)


def _difference(before: str, after: str) -> tuple[str, str]:
    """The lines taken out and the lines put in."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return tuple("\n".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")


# --- the run ----------------------------------------------------------------------------------------------------------


def judged(mutants: list[tuple[Place, str]], kept: Path, workers: int) -> list[Verdict]:
    """A verdict for each mutant. All meet the quickest command first, and those that survive it the next one."""
    code = programs()
    fresh = [Verdict(place, *_difference(code[place.file, place.cell], new)) for place, new in mutants]
    known = {(verdict.place, verdict.key): verdict for verdict in _read(kept)}
    verdicts = [known.get((verdict.place, verdict.key), verdict) for verdict in fresh]
    workshops: SimpleQueue[Workshop] = SimpleQueue()
    for number in range(workers):
        workshops.put(Workshop(BUILD / f"workshop-{number}"))

    def in_a_workshop(work: Callable[..., Any], *arguments: Any) -> Any:
        workshop = workshops.get()
        try:
            return work(workshop, *arguments)
        finally:
            workshops.put(workshop)

    usual: dict[tuple[str, ...], float] = {}
    with ThreadPoolExecutor(workers) as pool, kept.open("a", encoding="utf-8") as file:
        while waiting := [number for number, verdict in enumerate(verdicts) if verdict.waits]:
            first = min(verdicts[number].survived for number in waiting)
            waiting = [number for number in waiting if verdicts[number].survived == first]
            commands = list({stages(verdicts[number].place)[first]: None for number in waiting}.keys() - usual.keys())
            measured = pool.map(functools.partial(in_a_workshop, Workshop.usual_seconds), commands)
            usual |= zip(commands, tqdm(measured, "the course as it is", len(commands)), strict=True)
            running = {
                pool.submit(in_a_workshop, Workshop.judge, verdicts[number], mutants[number][1], usual): number
                for number in waiting
            }
            try:
                for done in tqdm(as_completed(running), f"mutants, command {first + 1}", len(running)):
                    verdicts[running[done]] = done.result()
                    file.write(line(done.result()))
                    file.flush()
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)
                print("Stopped. What was judged is kept: the same command goes on.")
                break
    return verdicts


def line(verdict: Verdict) -> str:
    """A verdict as it is kept."""
    return json.dumps(dataclasses.asdict(verdict)) + "\n"


def _read(kept: Path) -> Iterator[Verdict]:
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)
            yield Verdict(**data | {"place": Place(**data["place"])})


# --- the report -------------------------------------------------------------------------------------------------------


def in_a_claim(place: Place, code: dict[tuple[str, int | None], str]) -> bool:
    """Whether a notebook's place belongs to a `claim`: a claim is a test itself, and a weaker one still holds."""
    if place.cell is None:
        return False
    calls = [node for node in ast.walk(ast.parse(code[place.file, place.cell])) if isinstance(node, ast.Call)]
    claims = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "claim"]
    return any(call.lineno <= place.line <= call.end_lineno for call in claims)


def report(verdicts: list[Verdict], seed: int, n_places: int) -> str:
    """What was found, as Markdown."""
    equivalent = equivalent_mutants()
    judged = [verdict for verdict in verdicts if not (verdict.waits and verdict.survived == 0)]
    gpu_only = [verdict for verdict in judged if any(name in verdict.before for name in GPU_ONLY)]
    code = programs()
    claims = [verdict for verdict in judged if in_a_claim(verdict.place, code)]
    counted = [verdict for verdict in judged if verdict not in gpu_only + claims]
    survivors = [verdict for verdict in counted if verdict.killed_by is None]
    alike = [verdict for verdict in survivors if verdict.key in equivalent]
    rows = [
        ("course_utils, without teaching", lambda file: file.startswith("course_utils") and "/teaching/" not in file),
        ("course_utils/teaching", lambda file: "/teaching/" in file),
        ("notebooks", lambda file: file.startswith("notebooks")),
        ("in all", lambda file: True),
    ]
    lines = [
        "# Which changes do the tests notice?",
        "",
        f"Of about {n_places:,} places at which the course's code can be changed, {len(verdicts)} were drawn (seed",
        f"{seed}), and {len(judged)} of these judged: changed one at a time, and met with what `make test` runs.",
        "*Killed*: a test or a notebook failed. Survivors may have been judged again after tests were written for",
        "them, so only a sample with another seed, judged once, says how the tests do on changes that nobody has seen.",
        "",
        "| code | mutants | killed | score | 95 % interval | equivalent | score without these |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, belongs in rows:
        mutants = [verdict for verdict in counted if belongs(verdict.place.file)]
        if not mutants:
            continue
        same = [verdict for verdict in alike if belongs(verdict.place.file)]
        killed = [verdict for verdict in mutants if verdict.killed_by is not None]
        low, high = wilson(len(killed), len(mutants))
        lines.append(
            f"| {name} | {len(mutants)} | {len(killed)} | {share(len(killed), len(mutants))} | {low:.3f} to {high:.3f} "
            f"| {len(same)} | {share(len(killed), len(mutants) - len(same))} |"
        )
    unnoticed = sum(verdict.killed_by is None for verdict in claims)
    lines += [
        "",
        f"The goal is {GOAL}. Not counted:",
        f"{len(gpu_only)} mutants in lines that only a GPU can run, and {len(claims)} in claims",
        f"of notebooks, which are tests themselves ({unnoticed} of these made a claim weaker, so that nothing failed).",
    ]
    if notes_on(seed).exists():
        lines += ["", notes_on(seed).read_text(encoding="utf-8").rstrip()]
    lines += ["", "## Survivors", ""]
    for verdict in sorted(survivors, key=lambda survivor: (survivor.place.file, survivor.place.cell or 0)):
        lines += [f"- {verdict.place.named()}, {verdict.place.kind}", *_quoted(verdict)]
        if verdict.waits:
            lines.append("  It has met its module's own tests alone.")
        if verdict in alike:
            lines.append(f"  Equivalent: {equivalent[verdict.key]}")
    slow = sum(verdict.killed_by == "too slow" for verdict in counted)
    hours = sum(verdict.seconds for verdict in judged) / 3600
    lines += [
        "",
        f"{slow} were killed by taking ten times as long as usual. Judging took {hours:.1f} hours of one core.",
        f"Made by `make mutants` at commit {commit()} with Cosmic Ray {version('cosmic-ray')}, "
        f"Python {platform.python_version()}, torch {version('torch')}.",
    ]
    return "\n".join(lines) + "\n"


def notes_on(seed: int) -> Path:
    """What was written by hand of a sample, where anything was."""
    return ROOT / "benchmarks" / f"mutation-notes-{seed}.md"


def report_on_exhibits(verdicts: list[Verdict]) -> str:
    """Which test noticed which bug of the museum, as Markdown."""
    noticed = sum(verdict.killed_by is not None for verdict in verdicts)
    lines = [
        "# Which bugs of the museum do the tests notice?",
        "",
        f"Each of the {len(verdicts)} exhibits was put into the course's own code and met with what `make test` runs, "
        "the module's own",
        f"tests first. {noticed} were noticed. This is the first test that failed.",
        "",
        "| exhibit | in | noticed by |",
        "| --- | --- | --- |",
    ]
    for verdict in verdicts:
        told = verdict.killed_by or ("not judged to the end" if verdict.waits else "nothing")
        lines.append(f"| {verdict.place.kind.removeprefix('exhibit ')} | `{verdict.place.file}` | {told} |")
    lines += [
        "",
        f"Made by `make mutants` at commit {commit()}, Python {platform.python_version()}, torch {version('torch')}.",
    ]
    return "\n".join(lines) + "\n"


def wilson(killed: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, 1927)."""
    z = 1.96
    middle = (killed + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(killed * (n - killed) / n + z**2 / 4)
    return middle - half, middle + half


def share(killed: int, n: int) -> str:
    return f"{killed / n:.3f}"


def _quoted(verdict: Verdict) -> list[str]:
    lines = [f"  - {line}" for line in verdict.before.splitlines()]
    lines += [f"  + {line}" for line in verdict.after.splitlines()]
    return ["", "  ```diff", *lines, "  ```"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    parser.add_argument("--count", type=int, default=400, help="mutants in the sample (default: 400)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="tried at once (default: one a core)")
    parser.add_argument("--survivors", action="store_true", help="judge the survivors of the sample once more")
    parser.add_argument("--exhibits", action="store_true", help="judge the bugs of the museum instead of a sample")
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    if arguments.exhibits:
        verdicts = judged(exhibits(), ROOT / "benchmarks" / "mutants-exhibits.jsonl", arguments.workers)
        EXHIBITS_REPORT.write_text(report_on_exhibits(verdicts), encoding="utf-8")
        print(f"{EXHIBITS_REPORT.relative_to(ROOT)} is written.")
        return
    kept = ROOT / "benchmarks" / f"mutants-{arguments.seed}.jsonl"
    if arguments.survivors:
        killed = [verdict for verdict in _read(kept) if verdict.killed_by is not None]
        kept.write_text("".join(map(line, killed)), encoding="utf-8")
    mutants, n_places = kept_sample(arguments.seed, arguments.count)
    verdicts = judged(mutants, kept, arguments.workers)
    REPORT.write_text(report(verdicts, arguments.seed, n_places), encoding="utf-8")
    print(f"{REPORT.relative_to(ROOT)} is written.")


if __name__ == "__main__":
    main()
