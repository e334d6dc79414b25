"""Seconds that an annotator's actions take: the keystroke-level model.

Operators and their times are those of Card, Moran and Newell (1983): thinking 1.35 s,
pointing 1.10 s, pressing and releasing a button 0.20 s, a key 0.28 s. The times to find
the next object, to look at a mask and to brush are assumptions, not measured on people.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ActionTimes:
    """Seconds of single actions.

    Attributes:
        think: Mental preparation.
        point: Moving the pointer to a target.
        press: Pressing and releasing a button.
        key: A key.
        look: Looking at a mask.
        find: Finding the next object.
        brush: Taking up brush and eraser.
        brush_per_pixel_root: Brushing, per square root of the pixels that change.
    """

    think: float = 1.35
    point: float = 1.10
    press: float = 0.20
    key: float = 0.28
    look: float = 0.60
    find: float = 3.0
    brush: float = 2.0
    brush_per_pixel_root: float = 0.11

    @property
    def click(self) -> float:
        """A click at a chosen position."""
        return self.think + self.point + self.press

    @property
    def shown_mask(self) -> float:
        """Looking at a mask and a key: to accept it, or to see another of the three."""
        return self.look + self.key

    @property
    def verify(self) -> float:
        """Deciding on a mask that is shown, and a key."""
        return self.think + self.key

    def brushing(self, pixels: int) -> float:
        """Changing so many pixels by brush and eraser; 0 for none."""
        return self.brush + self.brush_per_pixel_root * pixels**0.5 if pixels else 0.0
