"""What a person can do with labs: composes settings, host, images, engine and sides. `tasks.py` calls it."""

from pairlab.session.lab import Session, UpResult
from pairlab.session.status import LabStatus

__all__ = ["LabStatus", "Session", "UpResult"]
