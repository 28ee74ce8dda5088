"""What may be concluded from samples, in the words of every exercise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from pairlab.results import (
    Conclusion,
    Figure,
    Finding,
    RunResult,
    Sample,
    Variant,
    Verdict,
    enough,
    is_less,
    spread,
)


def compare(result: RunResult, figure: Figure, less: Variant, more: Variant, claim: str) -> Conclusion:
    """The claim that a figure is less in one variant, if its samples carry that."""
    of_less = (less.title, result.samples_of(figure.key, less.key))
    of_more = (more.title, result.samples_of(figure.key, more.key))
    return claim_less(claim, figure, of_less, of_more, [less, more])


def claim_less(
    claim: str,
    figure: Figure,
    less: tuple[str, Sequence[Sample]],
    more: tuple[str, Sequence[Sample]],
    about: Sequence[Variant],
) -> Conclusion:
    """The claim that some samples are less than others, if they carry that.

    Args:
        claim: The claim, as a sentence.
        figure: Says what was measured, and its unit.
        less: What the smaller ones are of, and they.
        more: The same of the larger ones.
        about: The variants that it is about.
    """
    sides = (f"{name} {told([s.value for s in samples], figure)}" for name, samples in (less, more))
    basis = f"{figure.title}: {'; '.join(sides)}"
    variants = list(dict.fromkeys(variant.key for variant in about))
    if is_less(less[1], more[1]):
        return Conclusion(text=claim, carried=True, basis=basis, variants=variants)
    reason = too_few(less[1], more[1]) or ": the ranges overlap"
    return Conclusion(text=claim, carried=False, basis=basis + reason, variants=variants)


def too_few(*groups: Sequence[Sample]) -> str:
    """The end of a basis that says why nothing is claimed, where there are too few samples; else nothing."""
    return "" if enough(*groups) else ": too few repetitions"


def combined(how: Callable[..., float], *groups: Sequence[Sample]) -> list[Sample]:
    """Samples worked out from those of several figures, where each was measured at once with the others.

    Args:
        how: What becomes of one value a figure.
        groups: The samples of each figure, at least of one.
    """
    at = [_by_occurrence(group) for group in groups]
    return [
        first.model_copy(update={"value": how(*(each[key].value for each in at))})
        for key, first in at[0].items()
        if all(key in each for each in at)
    ]


def _by_occurrence(samples: Sequence[Sample]) -> dict[tuple[int, str, int], Sample]:
    """Samples by repetition, instance, and how many of the two came before: one may start twice in one."""
    seen: Counter[tuple[int, str]] = Counter()
    found: dict[tuple[int, str, int], Sample] = {}
    for sample in samples:
        whose = (sample.repetition, sample.instance)
        found[(*whose, seen[whose])] = sample
        seen[whose] += 1
    return found


def order(
    result: RunResult, figure: Figure, one: tuple[str, Variant], other: tuple[str, Variant], claim: str
) -> Conclusion:
    """The claim that a figure is less in one of two variants, whichever it is, if their samples carry that.

    Args:
        result: A complete run.
        figure: Which figure.
        one: What the claim calls a variant, and it; the lesser one where nothing was measured.
        other: The same of another.
        claim: With `{less}` and `{more}` in the places of what they are called.
    """
    first, second = (spread(result.values(figure.key, variant.key)) for _, variant in (one, other))
    less, more = (other, one) if first and second and second.median < first.median else (one, other)
    text = claim.format(less=less[0], more=more[0])
    return compare(result, figure, less[1], more[1], text[:1].upper() + text[1:])


def without_failures(result: RunResult, failed: Figure, variant: Variant, what: str) -> Conclusion:
    """The claim that no request failed in any repetition.

    Args:
        result: A complete run.
        failed: Counts failed requests.
        variant: Whose.
        what: What was done meanwhile, such as `one after the other`.
    """
    measured = result.samples_of(failed.key, variant.key)
    counts = ", ".join(f"{sample.value:g}" for sample in measured) or "none measured"
    has_failed = any(sample.value for sample in measured)
    return Conclusion(
        text=f"{sentence(variant)}, {what}: no request failed.",
        carried=enough(measured) and not has_failed,
        basis=f"failed requests in each repetition: {counts}" + ("" if has_failed else too_few(measured)),
        variants=[variant.key],
    )


def agreed(found: Sequence[Finding]) -> Verdict | None:
    """The verdict of findings on one question, if there are enough for a claim and all agree."""
    alike = len({finding.verdict for finding in found}) == 1
    return found[0].verdict if enough(found) and alike else None


def observed(found: Sequence[Finding]) -> str:
    """How often findings were made on one question, and whether they agree."""
    seen = (
        "the same in each repetition" if agreed(found) else "too few, or they differ between the repetitions"
    )
    return f"{counted(len(found), 'observation')}, {seen}"


def counted(count: int, thing: str) -> str:
    """`1 repetition`, `3 repetitions`."""
    return f"{count} {thing if count == 1 else f'{thing}s'}"


def sentence(variant: Variant) -> str:
    """A variant's title as a sentence begins."""
    return variant.title[:1].upper() + variant.title[1:]


def told(values: Sequence[float], figure: Figure) -> str:
    """Samples in short, in words."""
    short = spread(values)
    if short is None:
        return "not measured"
    divisor, unit = scale(figure, short.median)
    middle, low, high = (value / divisor for value in (short.median, short.low, short.high))
    return f"{middle:.4g} {unit} ({low:.4g} to {high:.4g}, n = {short.count})".replace(" 1 (", " (")


def scale(figure: Figure, value: float) -> tuple[float, str]:
    """What to divide amounts by that are about as large as a value, and the unit that they then have."""
    if figure.unit not in ("B", "B/s"):
        return 1.0, figure.unit
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = next((n for n in range(len(units)) if abs(value) < 1024 ** (n + 1)), len(units) - 1)
    return float(1024**power), units[power] + figure.unit.removeprefix("B")
