"""The clicking widget: an image, prompts by mouse, finger or keys, and their masks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from jaxtyping import Bool

from samjax.data.schema import Annotation, ImageInfo, Record
from samjax.inference import ImageEmbedding, Masks, Predictor, Prompt, read_image
from samjax.inference.embedding import weights_fingerprint
from samjax.inference.images import ImageSource
from samjax.notebook.es_modules import join_modules
from samjax.notebook.results import (
    annotation_of,
    candidates,
    chosen_index,
    encode_picture,
)
from samjax.notebook.session import ObjectState, Session, parse_session, state_of

_PACKAGE = Path(str(resources.files("samjax")))
_STATIC = _PACKAGE / "notebook" / "static"
_PAGE = _PACKAGE / "web" / "page"

# Predictions that are kept, so that undo and the choice of a mask take no time.
_MOST_KEPT = 32

_LOG = logging.getLogger(__name__)


def _front_end() -> str:
    return join_modules(_STATIC / "clicker.js")


def _styles() -> str:
    # The page's colours, for the widget's element rather than the whole document.
    colors = (_PAGE / "styles" / "colors.css").read_text(encoding="utf-8")
    own = (_STATIC / "clicker.css").read_text(encoding="utf-8")
    return colors.replace(":root", ".samjax-clicker") + own


class Clicker(anywidget.AnyWidget):
    """Segments objects of an image by clicks and boxes, in a notebook.

    Click for a foreground point, right-click or Shift-click for a background point, drag
    for a box. `Accept` keeps the mask and begins the next object. Masks are predicted by
    `predictor.predict` in the kernel.

        clicker = Clicker(predictor, "photo.jpg")
        clicker                # the last line of a cell shows it
        clicker.annotations    # in a later cell

    All coordinates, here and in the results, are in pixels of the original image, turned
    upright by its EXIF orientation as `samjax.inference.read_image` does, however it is scaled on
    the screen; a pixel's centre is at +0.5.

    Attributes:
        prompt: `samjax.Prompt` of the object in progress, empty if there is none. It can
            be set, to points and a box.
        masks: `Masks` of this prompt, three if it is ambiguous: `masks` bool (m, h, w),
            `scores` (m,), `logits`. None without a prompt.
        annotations: Accepted objects, the oldest first, in SA-1B's fields: boxes XYWH,
            masks as COCO's compressed run lengths (`samjax.geometry.masks.decode_rle`).
        image_size: (h, w) of the image.

    All but `image_size` are traits: `clicker.observe(function, "annotations")` calls a
    function after each change.
    """

    _esm = _front_end()
    _css = _styles()

    prompt = traitlets.Instance(Prompt)
    masks: Any = traitlets.Instance(Masks, allow_none=True, read_only=True)
    annotations = traitlets.List(read_only=True)

    # Any, since a front end may send anything: `parse_session` checks it.
    _session = traitlets.Any().tag(sync=True)
    _picture = traitlets.Bytes().tag(sync=True)
    _size = traitlets.List().tag(sync=True)
    _candidates: Any = traitlets.Any(None, allow_none=True).tag(sync=True)
    _accepted = traitlets.List().tag(sync=True)
    _decoder_url = traitlets.Unicode("").tag(sync=True)
    _problem = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        predictor: Predictor,
        image: ImageSource,
        *,
        embedding: ImageEmbedding | None = None,
        decoder_url: str = "",
        **options: Any,
    ):
        """Embeds the image, which takes as long as `predictor.embed`.

        Args:
            predictor: The model.
            image: As for `predictor.embed`.
            embedding: The image's, where it was embedded before.
            decoder_url: URL of a folder that `samjax export --demo` wrote with this
                model, absolute or relative to the notebook's page. The browser then
                shows masks by the decoder there, also while the kernel is busy; results
                are of the kernel as always.
            **options: Traits of every widget, as `layout`.

        Raises:
            ValueError: The image cannot be used, or the embedding is of other weights or
                of an image of another size.
        """
        pixels = read_image(image)
        if embedding is None:
            embedding = predictor.embed(pixels)
        predictor.check_embedding(embedding)
        self.image_size: tuple[int, int] = pixels.shape[:2]
        if embedding.frame.original_size != self.image_size:
            raise ValueError(
                f"got an embedding of an image of {embedding.frame.original_size}, "
                f"expected the image's {self.image_size}: embed it again, or leave the "
                "embedding out"
            )
        self._name = Path(image).name if isinstance(image, str | os.PathLike) else ""
        self._predictor = predictor
        self._embedding = embedding
        self._state = Session()
        self._predicted: dict[ObjectState, Masks] = {}
        self._made: list[tuple[ObjectState, Annotation]] = []
        super().__init__(
            prompt=Prompt(),
            _session=self._state.to_json(),
            _picture=encode_picture(pixels),
            _size=list(self.image_size),
            _decoder_url=decoder_url,
            **options,
        )
        # Else the first change of anything would notify of this one too.
        self.set_trait("annotations", [])
        self.on_msg(self._on_message)

    @property
    def mask(self) -> Bool[np.ndarray, "h w"] | None:
        """The chosen mask of the object in progress; None without a prompt."""
        if self.masks is None:
            return None
        return self.masks.masks[chosen_index(self._state.current, self.masks)]

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts of the accepted objects."""
        return [one.prompt for one in self._state.objects]

    @property
    def record(self) -> Record:
        """The image and its annotations as one of SA-1B's records.

        `samjax.data.schema.record_to_json` makes the text of a file of it.
        """
        height, width = self.image_size
        image = ImageInfo(
            image_id=1,
            width=width,
            height=height,
            file_name=self._name,
            frame="upright",
        )
        return Record(image=image, annotations=list(self.annotations))

    def accept(self) -> None:
        """Keeps the chosen mask and begins the next object, as the button does.

        Raises:
            ValueError: There is no object in progress.
        """
        current = self._state.current
        if current.is_empty:
            raise ValueError("got no prompt to accept: click an object before")
        self._show(Session((*self._state.objects, current)))

    def clear(self) -> None:
        """Removes the accepted objects and the object in progress."""
        self._show(Session())

    def set_state(self, sync_data: Any) -> None:
        """Takes state from the front end, which may change its session and no results.

        What is wrong with a message, or fails in what follows from it, is shown in the
        widget, and the last good state stays: no message ends in an exception.
        """
        try:
            self._check_message(sync_data)
            super().set_state(sync_data)
        except Exception as error:  # noqa: BLE001
            self._report(error)

    def _check_message(self, sync_data: Any) -> None:
        """Refuses a message that is no object, or sets what the front end may not.

        Raises:
            ValueError: It is such a message.
        """
        if not isinstance(sync_data, Mapping):
            raise ValueError(  # noqa: TRY004
                f"got the state {sync_data!r:.100}, expected an object"
            )
        foreign = [
            name
            for name in sync_data
            if name not in self.keys
            or (name.startswith("_") and name not in ("_session", "_view_count"))
        ]
        if foreign:
            raise ValueError(
                f"got a message that sets {', '.join(foreign)}, expected _session"
            )

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        """Sends the embedding and the model's fingerprint to a browser's decoder."""
        if content != {"wants": "embedding"}:
            self._report(
                ValueError(
                    f"got the message {content!r:.100}, expected a wish for the embedding"
                )
            )
            return
        weights = weights_fingerprint(
            self._predictor.model.config, self._predictor.params
        )
        # Half the bytes: servers of notebooks drop messages beyond 3 MB in 3 seconds.
        features = self._embedding.to_bytes(layout="nchw", dtype="float16")
        self.send({"embedding": {"weights": weights}}, buffers=[features])

    @traitlets.observe("_session")
    def _on_session(self, change: Any) -> None:
        if change.new == self._state.to_json():
            self._problem = ""
        else:
            self._update(parse_session(change.new))

    @traitlets.validate("prompt")
    def _check_prompt(self, proposal: Any) -> Prompt:
        state_of(proposal.value)
        return proposal.value

    @traitlets.observe("prompt")
    def _on_prompt(self, change: Any) -> None:
        current = state_of(change.new)
        if current != self._state.current.without_choice():
            self._show(Session(self._state.objects, current))

    def _show(self, session: Session) -> None:
        """Changes the state from Python: errors are the caller's."""
        self._update(session)
        self._session = session.to_json()

    def _report(self, error: Exception) -> None:
        expected = isinstance(error, ValueError | traitlets.TraitError)
        if not expected:
            _LOG.error("the clicker could not handle a message", exc_info=error)
        # Else two equal problems, one after the other, would be sent once.
        self._problem = ""
        self._problem = str(error) or type(error).__name__

    def _update(self, session: Session) -> None:
        """Predicts what a state needs, then changes all traits together."""
        current, masks, shown = session.current, None, None
        if not current.is_empty:
            masks, shown = self._shown(current.without_choice())
            chosen_index(current, masks)
        made = [
            (one, self._annotation(index, one))
            for index, one in enumerate(session.objects)
        ]
        self._state, self._made = session, made
        with self.hold_sync(), self.hold_trait_notifications():
            if current.without_choice() != state_of(self.prompt):
                self.prompt = current.prompt
            self.set_trait("masks", masks)
            self.set_trait("annotations", [annotation for _, annotation in made])
            self._candidates = shown
            self._accepted = [
                {"of": one.to_json(), "segmentation": annotation["segmentation"]}
                for one, annotation in made
            ]
            self._problem = ""

    def _shown(self, key: ObjectState) -> tuple[Masks, dict[str, Any]]:
        """Returns the masks of a prompt, and what the front end shows of them."""
        if self.masks is not None and key == self._state.current.without_choice():
            return self.masks, self._candidates
        # A copy: those that are remembered keep no masks of the image's size.
        masks = self._predict(key).select(slice(None))
        return masks, {"of": key.to_json(), "masks": candidates(masks)}

    def _annotation(self, index: int, state: ObjectState) -> Annotation:
        """Returns the annotation of an accepted object: the one made before, if any."""
        if index < len(self._made) and self._made[index][0] == state:
            return self._made[index][1]
        return annotation_of(state, self._predict(state), index + 1)

    def _predict(self, state: ObjectState) -> Masks:
        key = state.without_choice()
        masks = self._predicted.pop(key, None)
        if masks is None:
            masks = self._predictor.predict(self._embedding, key.prompt)
        # The newest last: the first is dropped.
        self._predicted[key] = masks
        while len(self._predicted) > _MOST_KEPT:
            del self._predicted[next(iter(self._predicted))]
        return masks
