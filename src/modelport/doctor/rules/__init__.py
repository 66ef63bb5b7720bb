"""The rules, the most certain first: what a driver reported, how it ended, what it listens on, what it answers."""

from modelport.doctor.rule import Rule
from modelport.doctor.rules import listen

RULES: tuple[Rule, ...] = (*listen.RULES,)
