"""What somebody requires of a platform: the questions, and what may be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pairlab.differences import Need
from pairlab.errors import UsageError

Topic = Need | Literal["skills"]
FIELDS: Mapping[Topic, tuple[str, ...]] = {
    "kernel": ("other_kernel",),
    "tenants": ("untrusted_tenants",),
    "start": ("start_within_s",),
    "memory": ("instances", "memory_mib"),
    "modules": ("kernel_modules",),
    "compute": ("compute",),
    "patch": ("patch_within_s",),
    "state": ("own_state",),
    "skills": ("skills",),
}
"""What reasons are about -> the answers that say it."""


class Requirements(BaseModel):
    """Answers; a default says that it does not matter. A field's description is its question."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    other_kernel: bool = Field(
        False, description="Must instances run another kernel or operating system than their host?"
    )
    untrusted_tenants: bool = Field(False, description="Do tenants who do not trust each other share a host?")
    start_within_s: float | None = Field(
        None, gt=0, description="Within how many seconds must a new instance serve?"
    )
    instances: int | None = Field(None, gt=0, description="How many instances must fit on a host?")
    memory_mib: float | None = Field(None, gt=0, description="In how many MiB of its memory?")
    kernel_modules: bool = Field(False, description="Must instances load kernel modules of their own?")
    compute: Literal["", "gpu", "hpc"] = Field("", description="Do they need a GPU, or HPC: gpu or hpc?")
    patch_within_s: float | None = Field(
        None, gt=0, description="Within how many seconds must a security update be in all instances?"
    )
    own_state: bool = Field(False, description="Do instances keep state inside that must outlive a failure?")
    skills: Literal["", "vm", "container", "both"] = Field(
        "", description="What do those who operate it know: vm, container or both?"
    )

    def given(self) -> list[Topic]:
        """What is required, in the order of the questions."""
        return [
            topic
            for topic, names in FIELDS.items()
            if any(getattr(self, name) != type(self).model_fields[name].default for name in names)
        ]

    def told(self, topic: Topic) -> str:
        """One of the requirements, in words."""
        return {
            "kernel": "another kernel or operating system",
            "tenants": "tenants who do not trust each other",
            "start": f"a new instance that serves within {self.start_within_s:g} s"
            if self.start_within_s
            else "",
            "memory": f"{self.instances} instances in {self.memory_mib:g} MiB" if self.memory_mib else "",
            "modules": "kernel modules of their own",
            "compute": {"gpu": "a GPU", "hpc": "high performance computing"}.get(self.compute, ""),
            "patch": f"an update that is everywhere within {self.patch_within_s:g} s"
            if self.patch_within_s
            else "",
            "state": "state that instances keep inside",
            "skills": {"vm": "people who know VMs", "container": "people who know containers"}.get(
                self.skills, "people who know both"
            ),
        }[topic]


def parse(answers: Mapping[str, Any]) -> Requirements:
    """Requirements from what was typed.

    Raises:
        UsageError: An answer makes no sense, or half of one is missing.
    """
    try:
        found = Requirements.model_validate(answers)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = f"--{first['loc'][0]}".replace("_", "-") if first["loc"] else "an option"
        raise UsageError(
            f"{option} cannot be {first['input']!r}: {first['msg']}",
            hint="`invoke --help lab.advise` tells more",
        ) from error
    if (found.instances is None) != (found.memory_mib is None):
        raise UsageError(
            "how many instances must fit, and in how much memory, belong together",
            hint="give both --instances and --memory-mib",
        )
    return found


def ask(read: Callable[[str], str], tell: Callable[[str], None]) -> dict[str, str]:
    """Ask every question; an answer that makes no sense is asked for again.

    Args:
        read: Shows a prompt and returns the line that was typed, with its end.
        tell: Shows a line.

    Returns:
        Field -> answer, for `parse`; what does not matter is left out.

    Raises:
        UsageError: There is nobody who answers.
    """
    tell("Requirements; Enter where it does not matter.")
    answers: dict[str, str] = {}
    for name, field in Requirements.model_fields.items():
        if name == "memory_mib" and "instances" not in answers:
            continue
        required = name == "memory_mib"  # of the instances that were just told
        kind = "y/N" if field.annotation is bool else "a number" if required else "Enter: no matter"
        while text := _typed(read(f"{field.description} [{kind}] ")) or ("?" if required else ""):
            try:
                Requirements.model_validate({name: text})
            except ValidationError as error:
                tell(f"  {error.errors(include_url=False)[0]['msg']}")
                continue
            answers[name] = text
            break
    return answers


def _typed(line: str) -> str:
    """What was typed, without its end; only where nobody types any more there is none."""
    if not line:
        raise UsageError("the questions were not answered", hint="give options: `invoke --help lab.advise`")
    return line.strip()
