"""Every optimiser by its name: a new one is a file with its formula and its record, and a line here."""

from .adam import adamw, google
from .adam_variants import VARIANTS
from .lamb import lamb
from .lion import lion
from .rule import UpdateRule

RULES: dict[str, UpdateRule] = {rule.name: rule for rule in (google, adamw, lamb, lion, *VARIANTS)}
