"""How a picture becomes views: the paper's slices, the same without separators, or LLaVA-1.5's padded square."""

from dataclasses import dataclass

from PIL import Image

from . import slicing

PADDING = tuple(int(255 * m) for m in slicing.MEAN)


@dataclass(frozen=True)
class Form:
    name: str
    cells: int  # visual tokens along a side of a view
    square: bool = False  # one view: padded to a square, 336x336, a token a patch
    separators: bool = True

    def views(self, w, h, max_slices=6):
        """Every view in the order the language model sees it, as (rectangle of the picture, (w, h))."""
        if not self.square:
            return slicing.views(w, h, max_slices)
        side = max(w, h)
        return [((-((side - w) // 2), -((side - h) // 2), side, side), (slicing.SIDE, slicing.SIDE))]

    def cut(self, image, max_slices=6):
        """The views as PIL pictures."""
        if not self.square:
            return slicing.cut(image, max_slices)
        (left, top, side, _), size = self.views(*image.size)[0]
        padded = Image.new("RGB", (side, side), PADDING)
        padded.paste(image, (-left, -top))
        return [padded.resize(size, Image.Resampling.BICUBIC)]

    def marks(self, w, h, max_slices=6):
        """The separator after each view but the last: "," or "n", or none at all."""
        return slicing.plan(w, h, max_slices).separators if self.separators and not self.square else ""


FORMS = {f.name: f for f in (
    Form("uhd", 8),
    Form("unmarked", 8, separators=False),
    Form("square", 24, square=True, separators=False),
)}


def form_of(config):
    if config["mm_projector_type"] == "mlp2x_gelu":
        return FORMS["square"]
    return FORMS["uhd" if config.get("slice_separator_ids") else "unmarked"]
