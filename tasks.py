"""pairlab's commands: argument parsing and one library call a task, nothing else."""

from __future__ import annotations

import functools
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.parser.parser import ParseMachine
from invoke.tasks import Task, task

if TYPE_CHECKING:
    from pairlab.errors import LabError

Body = TypeVar("Body", bound=Callable[..., Any])

DEFAULT_LAB = os.environ.get("PAIRLAB_LAB", "dev")
LAB = {"lab": "Name of the lab, settings in Pulumi.NAME.yaml; default: PAIRLAB_LAB, else dev."}
YES = {"yes": "Do not ask; CI=true means the same."}
JSON = {"json": "Print JSON instead of a table."}
SETTINGS = {
    "vms": "Number of virtual machines.",
    "replicas": "Number of containers.",
    "set_": "Another setting as KEY=VALUE, such as vmCpus=2; can be repeated.",
}
RESULT = "A file, `latest`, or an exercise's name for its newest one"
_START = time.monotonic()


def command(body: Body) -> Body:
    """Turn errors into a message, a hint and an exit status: 1 failed, 2 bad usage, 128 + signal stopped."""
    return _handled(body, "interrupted")


def daemon_command(body: Body) -> Body:
    """Do the same for a command that asks daemons, and may have to enter their groups first."""
    return _handled(_in_groups(body), "interrupted")


def lab_command(body: Body) -> Body:
    """Do the same for a command that changes a lab: interrupted, it may leave one half-made."""
    rest = "`invoke lab.up` finishes a lab that is half-made, `invoke lab.down` undoes it"
    return _handled(_in_groups(body), f"interrupted; {rest}")


def _in_groups(body: Body) -> Body:
    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        _enter_groups()
        return body(*args, **kwargs)

    return run  # type: ignore[return-value]


def _enter_groups() -> None:
    """Go on as a new process in the daemons' groups that this account has joined since its login."""
    if os.geteuid() != 0:
        from pairlab.host.groups import enter_groups
        from pairlab.run import LocalRunner

        enter_groups(LocalRunner(), [sys.executable, *sys.argv])


def _handled(body: Body, interrupted: str) -> Body:
    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        from pairlab.errors import LabError, Terminated

        def terminate(number: int, frame: object) -> None:
            if number == signal.SIGHUP:  # the terminal is gone: to write to it would fail
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 1)
                os.dup2(nowhere, 2)
            raise Terminated(number)

        # What is ignored, as `nohup` has it, stays so.
        ends = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN]
        before = {number: signal.signal(number, terminate) for number in ends}
        try:
            return body(*args, **kwargs)
        except KeyboardInterrupt as stop:
            print(interrupted, file=sys.stderr)
            sys.exit(128 + (stop.number if isinstance(stop, Terminated) else signal.SIGINT))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except (LabError, OSError) as error:
            sys.exit(_tell(error))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return run  # type: ignore[return-value]


def _tell(error: LabError | OSError) -> int:
    """Tell what went wrong and what to do next; returns the exit status for it."""
    from pairlab.errors import UsageError, system_error

    told = system_error(error) if isinstance(error, OSError) else error
    details = f"\n{told.details}" if told.details else ""
    print(f"error: {told.message}{details}\n  next: {told.hint}", file=sys.stderr)
    return 2 if isinstance(told, UsageError) else 1


def _refuse(machine: ParseMachine, problem: str) -> NoReturn:
    """Tell of bad usage as of any other; invoke itself would exit with 1 and say no next step."""
    name = machine.context.name if machine.context else None
    known = f"`invoke --help {name}` shows what it takes" if name else "`invoke --list` shows every command"
    raise _refusal(problem, hint=known)


def _refusal(problem: str, *, hint: str) -> Exit:
    """Bad usage that is seen while invoke still reads the command line."""
    return Exit(f"error: {problem}\n  next: {hint}", code=2)


if "--complete" not in sys.argv:  # what is only half typed is no bad usage
    ParseMachine.error = _refuse  # type: ignore[assignment]


class _NamesOrAll(Task[Any]):
    """A task whose positional argument `names` is not missing where `--all` is given."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The arguments, with one that knows of the other."""
        arguments = super().get_arguments(ignore_unknown_help)
        every = next(argument for argument in arguments if argument.name == "all_")
        return [_Names(every, argument) if argument.name == "names" else argument for argument in arguments]


class _Names(Argument):
    def __init__(self, every: Argument, usual: Argument) -> None:
        super().__init__(names=usual.names, help=usual.help, positional=True)
        self._every = every

    @property
    def value(self) -> Any:
        return "" if self._every.value and self._value is None else self._value

    @value.setter
    def value(self, given: str) -> None:
        self.set_value(given)


class _Executing(Task[Any]):
    """A task whose positional argument `command` may also stand after `--`, word by word."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The arguments, with one that knows of `--`."""
        arguments = super().get_arguments(ignore_unknown_help)
        return [_Command(argument) if argument.name == "command" else argument for argument in arguments]


class _Command(Argument):
    def __init__(self, usual: Argument) -> None:
        super().__init__(names=usual.names, help=usual.help, positional=True)

    @property
    def value(self) -> Any:
        return "" if self._value is None and _words_after("--") else self._value

    @value.setter
    def value(self, given: str) -> None:
        # invoke would take the command's own options for its own, or for those of `lab.exec`.
        after = _words_after(given)
        if after and not after[0].startswith("--lab"):
            raise _refusal(
                f"the command is not one word: {shlex.join([given, *after])}",
                hint="quote all of it, or write it after `--`, as in: invoke lab.exec vm/0 -- ls -la",
            )
        self.set_value(given)


def _words_after(word: str) -> list[str]:
    """What the command line has after a word; what invoke itself keeps of it has lost its quotes."""
    return sys.argv[sys.argv.index(word) + 1 :] if word in sys.argv else []


def _progress(line: str) -> None:
    print(f"{time.monotonic() - _START:6.1f} s  {line}", file=sys.stderr, flush=True)


def _bench() -> Any:
    from pairlab.session.workbench import Workbench

    return Workbench(_progress)


def _confirm(yes: bool) -> Callable[[str], bool]:
    def ask(question: str) -> bool:
        if yes or os.environ.get("CI") == "true":
            return True
        if not sys.stdin.isatty():
            from pairlab.errors import UsageError

            raise UsageError(question, hint="there is no terminal to ask on: give --yes")
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    return ask


def _overrides(vms: str | None, replicas: str | None, set_: list[str]) -> dict[str, Any]:
    from pairlab.errors import UsageError

    overrides: dict[str, Any] = {"vms": vms, "replicas": replicas}
    for item in set_:
        key, separator, value = item.partition("=")
        if not separator:
            raise UsageError(f"--set {item!r} has no value", hint="write --set KEY=VALUE")
        if overrides.get(key) is not None:
            raise UsageError(f"{key} is set twice: {overrides[key]} and {value}", hint="give it once")
        overrides[key] = value
    return overrides


def _at_most_one(options: dict[str, Any]) -> None:
    from pairlab.errors import UsageError

    given = [option for option, value in options.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", hint="give one of them")


def _number(option: str, given: str) -> int:
    from pairlab.errors import UsageError

    if not given.isdecimal():
        raise UsageError(f"{option} takes a whole number, not {given!r}", hint=f"such as {option} 3")
    return int(given)


@task(help=LAB | JSON)
@command
def doctor(_: Context, lab: str = DEFAULT_LAB, json: bool = False) -> None:
    """Check this host for a lab; say how to mend what it lacks."""
    from pairlab.errors import HostError
    from pairlab.report import terminal
    from pairlab.session import host

    try:
        _enter_groups()
    except HostError as error:  # the rest is told nevertheless
        _tell(error)
    report = host.doctor(_bench(), lab)
    terminal.show_doctor(report, as_json=json)
    sys.exit(0 if report.ok else 1)


@task(help=YES | {"undo": "Stop what setup started."})
@command
def setup(_: Context, yes: bool = False, undo: bool = False) -> None:
    """Set this host up; says what it changes, and asks before."""
    from pairlab.model import Settings
    from pairlab.session import host

    if undo:
        print("\n".join(host.undo_setup(_bench(), _confirm(yes))) or "setup started nothing here")
    elif not host.setup(_bench(), Settings(), _confirm(yes)):
        print("this host is set up")


@task(iterable=["set_"], help=LAB | SETTINGS | YES | {"markdown": "Print Markdown, for a pull request."})
@command
def preview(
    _: Context,
    lab: str = DEFAULT_LAB,
    vms: str | None = None,
    replicas: str | None = None,
    set_: list[str] | None = None,
    markdown: bool = False,
    yes: bool = False,
) -> None:
    """Show what lab.up would change; needs no daemon."""
    from pairlab.report import terminal
    from pairlab.session import host
    from pairlab.session import lab as session_lab

    bench, overrides = _bench(), _overrides(vms, replicas, set_ or [])
    session_lab.check(lab, overrides)
    host.get_cli(bench, _confirm(yes))
    terminal.show_preview(lab, session_lab.preview(bench, lab, overrides), markdown=markdown)


@task(iterable=["set_"], help=LAB | SETTINGS | YES)
@lab_command
def up(
    _: Context,
    lab: str = DEFAULT_LAB,
    vms: str | None = None,
    replicas: str | None = None,
    set_: list[str] | None = None,
    yes: bool = False,
) -> None:
    """Bring a lab up; ends when every instance answers."""
    from pairlab.report import terminal
    from pairlab.session import host
    from pairlab.session import lab as session_lab

    bench, overrides = _bench(), _overrides(vms, replicas, set_ or [])
    settings = session_lab.check(lab, overrides)
    host.setup(bench, settings, _confirm(yes))
    _enter_groups()
    terminal.show_up(session_lab.up(bench, lab, overrides))


@task(help=LAB | JSON | {"watch": "Show it again every 2 seconds, until interrupted."})
@daemon_command
def status(_: Context, lab: str = DEFAULT_LAB, json: bool = False, watch: bool = False) -> None:
    """Show both sides of a lab, and any drift."""
    from pairlab.report import terminal
    from pairlab.session import access

    bench = _bench()
    shown = terminal.show_status(lambda: access.status(bench, lab), as_json=json, watch=watch)
    sys.exit(1 if shown.problems else 0)


@task(name="list", help=JSON)
@command
def list_labs(_: Context, json: bool = False) -> None:
    """List all labs in this state backend."""
    from pairlab.report import terminal
    from pairlab.session import lab as session_lab

    terminal.show_labs(session_lab.labs(_bench()), as_json=json)


@task(positional=["instance"], help=LAB | {"instance": "Which one, such as vm/0 or container/1."})
@daemon_command
def shell(_: Context, instance: str, lab: str = DEFAULT_LAB) -> None:
    """Open a shell in an instance of either side."""
    from pairlab.session import access

    sys.exit(access.shell(_bench(), lab, instance))


@task(
    name="exec",
    klass=_Executing,
    positional=["instance", "command"],
    help=LAB
    | {
        "instance": "Which one, such as vm/0.",
        "command": "What to run: one quoted string, or words after `--`; no shell reads it.",
    },
)
@daemon_command
def exec_(_: Context, instance: str, command: str, lab: str = DEFAULT_LAB) -> None:
    """Run a command in an instance of either side."""
    from pairlab.session import access

    whole = f"{command} {shlex.join(_words_after('--'))}"
    sys.exit(access.execute(_bench(), lab, instance, whole, print))


@task(
    positional=["instance"],
    help=LAB
    | {"instance": "Which one, such as vm/0.", "lines": "How many.", "follow": "Go on with new ones."},
)
@daemon_command
def logs(_: Context, instance: str, lab: str = DEFAULT_LAB, lines: str = "100", follow: bool = False) -> None:
    """Show an instance's log."""
    from pairlab.session import access

    show = functools.partial(print, flush=True)  # into a pipe too, line by line
    count = _number("--lines", lines)
    access.logs(_bench(), lab, instance, lines=count, follow=follow, on_line=show)


@task(positional=["instance"], help=LAB | {"instance": "Which virtual machine, such as vm/0."})
@daemon_command
def console(_: Context, instance: str, lab: str = DEFAULT_LAB) -> None:
    """Attach to a virtual machine's serial console."""
    from pairlab.session import access

    sys.exit(access.console(_bench(), lab, instance))


@task(
    help=LAB
    | YES
    | {
        "all_": "Every lab in this state backend.",
        "orphans": "Remove what has the lab's name also if this state does not know it.",
    }
)
@lab_command
def down(
    _: Context, lab: str | None = None, all_: bool = False, orphans: bool = False, yes: bool = False
) -> None:
    """Destroy a lab, and say what was removed."""
    from pairlab.errors import LabError
    from pairlab.model import check_lab_name
    from pairlab.report import terminal
    from pairlab.session import lab as session_lab

    _at_most_one({"--lab": lab is not None, "--all": all_})
    bench, confirm, status = _bench(), _confirm(yes), 0
    named = check_lab_name(DEFAULT_LAB if lab is None else lab)
    if not all_ and not orphans:
        session_lab.refuse_unknown(bench, named)
    for name in session_lab.labs(bench) if all_ else [named]:
        if not confirm(f"destroy lab {name!r} and everything in it?"):
            print(f"lab {name}: it stays")
            continue
        try:
            removed = session_lab.down(bench, name, orphans=orphans)
        except (LabError, OSError) as error:  # the next one of --all may go nevertheless
            status = _tell(error)
        else:
            terminal.show_removed(name, removed)
    sys.exit(status)


@task(help=LAB | YES)
@command
def unlock(_: Context, lab: str = DEFAULT_LAB, yes: bool = False) -> None:
    """Clear a stale state lock; says whose it was."""
    from pairlab.session import lab as session_lab

    print(f"lab {lab!r}: {session_lab.unlock(_bench(), lab, _confirm(yes))}")


def _typed(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


@task(
    help=JSON
    | {
        "other_kernel": "Another kernel or operating system than the host's.",
        "untrusted_tenants": "Tenants who do not trust each other share a host.",
        "start_within_s": "Seconds within which a new instance must serve.",
        "instances": "Instances that must fit on a host, in --memory-mib.",
        "memory_mib": "MiB of memory for --instances.",
        "kernel_modules": "Instances load kernel modules of their own.",
        "compute": "They need `gpu` or `hpc`.",
        "patch_within_s": "Seconds within which a security update must be in all instances.",
        "own_state": "Instances keep state inside that must outlive a failure.",
        "skills": "What those who operate it know: `vm`, `container` or `both`.",
    }
)
@command
def advise(
    _: Context,
    other_kernel: bool = False,
    untrusted_tenants: bool = False,
    start_within_s: str = "",
    instances: str = "",
    memory_mib: str = "",
    kernel_modules: bool = False,
    compute: str = "",
    patch_within_s: str = "",
    own_state: bool = False,
    skills: str = "",
    json: bool = False,
) -> None:
    """Say when VMs and when containers, for what you need."""
    from pairlab.errors import UsageError
    from pairlab.report import advice, advice_terminal
    from pairlab.session.advice import advise_on

    given = locals()
    answers = {name: given[name] for name in advice.Requirements.model_fields if given[name]}
    if not answers:
        if not sys.stdin.isatty():
            raise UsageError("nothing is required", hint="`invoke --help lab.advise` shows what may be")
        answers = advice.ask(_typed, lambda line: print(line, file=sys.stderr))
    advice_terminal.show_advice(advise_on(answers), as_json=json)


@task(help=LAB | {"stack": "Program in stacks/ whose workloads are built; default: the lab's."})
@daemon_command
def build(_: Context, lab: str = DEFAULT_LAB, stack: str = "") -> None:
    """Build the VM disks and container images of a lab."""
    from pairlab.report import terminal
    from pairlab.session import images

    terminal.show_images(images.build_images(_bench(), lab, stack), as_json=False)


@task(name="list", help=JSON)
@command
def list_images(_: Context, json: bool = False) -> None:
    """List images: digest, size, age, what uses them."""
    from pairlab.report import terminal
    from pairlab.session import images

    terminal.show_images(images.list_images(_bench()), as_json=json)


@task(help=YES)
@daemon_command
def prune(_: Context, yes: bool = False) -> None:
    """Remove images that nothing uses."""
    from pairlab.report import terminal
    from pairlab.session import images

    if _confirm(yes)("remove every image that no lab uses?"):
        terminal.show_images(images.prune_images(_bench()), as_json=False)
    else:
        print("all images stay")


@task(name="list", help=JSON)
@command
def list_exercises(_: Context, json: bool = False) -> None:
    """List the exercises: what each answers, and how long it took."""
    from pairlab.report import terminal
    from pairlab.session import exercises

    terminal.show_exercises(exercises.list_exercises(), as_json=json)


@task(
    name="run",
    klass=_NamesOrAll,
    positional=["names"],
    help=LAB
    | JSON
    | YES
    | {
        "names": "Which; several by commas, as in patch,startup. `invoke exercise.list` shows them.",
        "all_": "Every exercise.",
        "repeat": "Repetitions; 0 takes as many as suffice for a claim; of a long one of --all, one.",
        "ephemeral": "Bring the lab up before, and take it down afterwards whatever happens.",
        "resume": "Go on with the last set: only what is not complete, at its first missing repetition.",
        "step": "Be led through it: text, Enter, and what changed. One repetition unless --repeat says more.",
        "out": "Folder for the results; default: results/ in the user's data directory.",
    },
)
@lab_command
def run_exercise(
    _: Context,
    names: str,
    all_: bool = False,
    lab: str = DEFAULT_LAB,
    repeat: str = "0",
    ephemeral: bool = False,
    step: bool = False,
    resume: bool = False,
    out: str = "",
    json: bool = False,
    yes: bool = False,
) -> None:
    """Run exercises on a live lab, and keep what they measure."""
    from pairlab.report import progress, terminal
    from pairlab.session import exercises, host
    from pairlab.session import lab as session_lab

    _at_most_one({"--step": step, "--json": json})
    wanted = exercises.chosen(names, every=all_)
    repetitions = _number("--repeat", repeat) or (1 if step and not resume else None)
    folder = Path(out) if out else None
    exercises.check(lab, repeat=repetitions, ephemeral=ephemeral, out=folder)
    bench = _bench()
    if ephemeral:
        host.setup(bench, session_lab.check(lab, {}), _confirm(yes))
        _enter_groups()
    ran = exercises.run(
        bench,
        wanted,
        lab,
        repeat=repetitions,
        ephemeral=ephemeral,
        resume=resume,
        out=folder,
        audience=progress.Guide() if step else None,
        display=None if step else progress.follow,
    )
    terminal.show_run(ran, out, as_json=json)
    ran.check()


@task(name="list", help=JSON | {"exercise": "Of this exercise only."})
@command
def list_results(_: Context, exercise: str = "", json: bool = False) -> None:
    """List the results of exercises, newest first."""
    from pairlab.report import results_terminal
    from pairlab.session import reports

    results_terminal.show_results(reports.list_results(exercise), as_json=json)


@task(help=JSON | {"result": f"{RESULT}; default: latest."})
@command
def show(_: Context, result: str = "latest", json: bool = False) -> None:
    """Show one result: what is compared, found and concluded."""
    from pairlab.report import results_terminal
    from pairlab.session import reports

    results_terminal.show_result(reports.read(result), as_json=json)


@task(
    name="html",
    iterable=["result"],
    help={
        "result": f"{RESULT}; can be repeated. Default: the newest of each exercise.",
        "set_": "All results of one command: `latest`, its id as exercise.run told, or its --out.",
        "out": "The file to write.",
    },
)
@command
def write_html(_: Context, result: list[str] | None = None, set_: str = "", out: str = "report.html") -> None:
    """Write results as one HTML page that needs no network."""
    from pairlab.session import reports

    _at_most_one({"--result": result, "--set": set_})
    print(reports.write_html(result or [], Path(out), run_set=set_))


@task(
    name="summary",
    help=JSON | {"html": "Write it as one HTML page into this file.", "markdown": "Print Markdown."},
)
@command
def show_summary(_: Context, html: str = "", markdown: bool = False, json: bool = False) -> None:
    """Show the key differences, as measured here, in one table."""
    from pairlab.report import summary_terminal
    from pairlab.session import reports

    _at_most_one({"--html": html, "--markdown": markdown, "--json": json})
    if html:
        print(reports.write_summary(Path(html)))
    else:
        summary_terminal.show_summary(reports.summary(), as_json=json, markdown=markdown)


@task(
    positional=["a", "b"],
    help=JSON
    | {
        "a": f"{RESULT}; or a set: its id, or a folder of results.",
        "b": "The other, likewise.",
        "markdown": "Print Markdown.",
    },
)
@command
def compare(_: Context, a: str, b: str, markdown: bool = False, json: bool = False) -> None:
    """Compare two results, or two sets of them, as of two hosts."""
    from pairlab.report import pairing_terminal
    from pairlab.session import reports

    _at_most_one({"--markdown": markdown, "--json": json})
    pairing_terminal.show_comparison(reports.compare(a, b), as_json=json, markdown=markdown)


@task(
    iterable=["result"],
    help={
        "result": f"{RESULT}; can be repeated. Default: all that are kept.",
        "out": "The file to write; default: print it.",
        "json": "JSON instead of CSV.",
    },
)
@command
def export(_: Context, result: list[str] | None = None, out: str = "", json: bool = False) -> None:
    """Write all raw samples as CSV or JSON."""
    from pairlab.session import reports

    text, problems = reports.export(result or [], Path(out) if out else None, as_json=json)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    print(text, end="")


@task
@command
def schema(_: Context) -> None:
    """Print the JSON Schema of a result."""
    from pairlab.session import reports

    print(reports.schema())


@task(help={"results": "First take the newest complete result of each exercise into docs/results."})
@command
def docs(_: Context, results: bool = False) -> None:
    """Write docs/ and the README's figures, by texts and results."""
    from pairlab.session import docs as pages
    from pairlab.session import measured

    kept = measured.keep() if results else []
    print("\n".join(map(str, [*kept, *pages.write(), *measured.write()])) or "every page is current")


@task
@command
def check(context: Context) -> None:
    """Lint, formatting, types and import layers."""
    for line in ("ruff check .", "ruff format --check .", "mypy", "lint-imports"):
        context.run(f"{os.path.dirname(sys.executable)}/{line}", pty=sys.stdout.isatty())


ONLY = {"only": "Path or expression for pytest, such as tests/unit."}


@task(name="suite", default=True, help=YES | ONLY)
@command
def test(context: Context, only: str = "", yes: bool = False) -> None:
    """Set this host up, then run the test suite."""
    _run_tests(context, only, yes)


@task(help=YES | ONLY)
@command
def deep(context: Context, only: str = "", yes: bool = False) -> None:
    """Set this host up, then run the slow tests of the suite."""
    _run_tests(context, only, yes, "-m", "deep")


def _run_tests(context: Context, only: str, yes: bool, *options: str) -> None:
    from pairlab.errors import UsageError
    from pairlab.host.packages import TEST_PACKAGES
    from pairlab.model import Settings
    from pairlab.session import host

    try:
        words = shlex.split(only)
    except ValueError as error:
        problem = f"--only {only!r} is not well quoted: {error}"
        raise UsageError(problem, hint="quote it as a shell would") from error
    host.setup(_bench(), Settings(), _confirm(yes), packages=TEST_PACKAGES)
    _enter_groups()
    argv = [sys.executable, "-m", "pytest", *options, *words]
    context.run(shlex.join(argv), pty=sys.stdout.isatty())


@task
@daemon_command
def bench(context: Context) -> None:
    """Time a lab against the raw tools, and print the ratios."""
    context.run(shlex.join([sys.executable, "-m", "benchmarks"]), pty=sys.stdout.isatty())


ns = Collection(
    check,
    docs,
    bench,
    test=Collection(test, deep),
    lab=Collection(
        doctor, setup, preview, up, status, list_labs, shell, exec_, logs, console, down, unlock, advise
    ),
    image=Collection(build, list_images, prune),
    exercise=Collection(list_exercises, run_exercise),
    report=Collection(list_results, show, write_html, show_summary, compare, export, schema),
)
ns.configure({"run": {"echo": False}})
