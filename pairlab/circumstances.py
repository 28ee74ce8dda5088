"""Where, when and by which command something was measured: what every result tells of itself."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Environment(_Record):
    """Where and with what it was measured.

    Attributes:
        processor: Name of the CPU.
        cores: Logical CPUs.
        memory_bytes: This host's.
        kernel: Release of this host's kernel.
        system: Name of this host's operating system.
        accelerator: How VMs ran: `kvm` or `tcg`.
        accelerator_reason: Why.
        versions: Program -> version.
        plugins: Provider package -> version and origin.
        images: Image and form -> version.
        load_before: Load average of the last minute when it began.
        load_after: The same when it ended.
        settings: The lab's settings that are not the defaults.
    """

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    system: str
    accelerator: str
    accelerator_reason: str
    versions: dict[str, str]
    plugins: dict[str, str]
    images: dict[str, str]
    load_before: float
    load_after: float
    settings: dict[str, str] = {}


class Stretch(_Record):
    """A time in which a run was at work without an interruption.

    Attributes:
        started: When.
        ended: When, or when this was last saved.
        repetitions: How many ran to their end in it.
    """

    started: AwareDatetime
    ended: AwareDatetime
    repetitions: int


class RunSet(_Record):
    """The command that a run belongs to: what it left can be resumed, and shown in one report.

    Attributes:
        id: When it began, in UTC, then its lab's name; the same in all its results.
        exercises: All that it is to run, in their order.
        repeat: Repetitions that were asked for; None for as many as each exercise takes by itself.
    """

    id: str
    exercises: list[str]
    repeat: int | None
