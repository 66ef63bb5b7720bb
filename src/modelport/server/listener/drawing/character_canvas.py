"""Lines and texts on a grid of characters; lines that meet are joined."""

from __future__ import annotations

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
# By where their arms lead to.
_GLYPHS = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
_DOTTED = {"│": "╎", "─": "╌"}


class Canvas:
    """A drawing that grows with what is drawn."""

    def __init__(self) -> None:
        self._arms: dict[tuple[int, int], int] = {}
        self._solid: set[tuple[int, int]] = set()
        self._texts: dict[tuple[int, int], str] = {}

    def join(self, row: int, column: int, arms: int, *, dotted: bool = False) -> None:
        """Draw the arms of a line, corner or junction."""
        self._arms[row, column] = self._arms.get((row, column), 0) | arms
        if not dotted:
            self._solid.add((row, column))

    def down(self, column: int, top: int, bottom: int, *, dotted: bool = False) -> None:
        """Draw a line from the top edge of one row to the bottom edge of another."""
        for row in range(top, bottom + 1):
            self.join(row, column, UP | DOWN, dotted=dotted)

    def across(self, row: int, left: int, right: int, *, dotted: bool = False) -> None:
        """Draw a line from the middle of one column to the middle of another."""
        for column in range(left, right + 1):
            arms = (LEFT if column > left else 0) | (RIGHT if column < right else 0)
            self.join(row, column, arms, dotted=dotted)

    def text(self, row: int, column: int, text: str) -> None:
        """Write over whatever is there."""
        for index, char in enumerate(text):
            self._texts[row, column + index] = char

    def rows(self) -> list[str]:
        """Return the whole, without blanks at the ends of rows."""
        places = [*self._arms, *self._texts]
        height, width = (max(place[axis] for place in places) + 1 for axis in (0, 1))
        return ["".join(self._at((row, column)) for column in range(width)).rstrip() for row in range(height)]

    def _at(self, place: tuple[int, int]) -> str:
        glyph = _GLYPHS[self._arms.get(place, 0)]
        return self._texts.get(place) or (glyph if place in self._solid else _DOTTED.get(glyph, glyph))
