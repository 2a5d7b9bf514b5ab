"""How long a node takes over every call: fixed, spread evenly, or a list of cases."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]


class Latency(BaseModel):
    """Exactly one of three distributions, all in milliseconds; a bare number is read as `fixed`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    fixed: Milliseconds | None = None
    """Always the same."""
    uniform: tuple[Milliseconds, Milliseconds] | None = None
    """Anywhere from the first to the second, evenly."""
    choices: tuple[tuple[float, Milliseconds], ...] | None = None
    """Pairs of probability and milliseconds; what the probabilities leave over is no latency at all."""

    @model_validator(mode="before")
    @classmethod
    def _number_is_fixed(cls, value: object) -> object:
        return {"fixed": value} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("fixed", "uniform", "choices") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a latency is one of fixed, uniform, choices; got {' and '.join(given) or 'none'}"
            )
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("uniform goes from the smaller to the larger number")
        if self.choices is not None:
            shares = [share for share, _ in self.choices]
            if min(shares, default=0) < 0 or sum(shares) > 1 + 1e-9:
                raise ValueError("the probabilities of choices are 0 or more and make up 1 at most")
        return self

    def seconds(self, draw: float) -> float:
        """Turn a random number from [0, 1) into seconds."""
        if self.fixed is not None:
            return self.fixed / 1000
        if self.uniform is not None:
            low, high = self.uniform
            return (low + (high - low) * draw) / 1000
        edge = 0.0
        for share, milliseconds in self.choices or ():
            edge += share
            if draw < edge:
                return milliseconds / 1000
        return 0.0
