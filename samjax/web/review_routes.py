"""Routes of reviews mask by mask: verdicts, and the versions of a mask."""

from fastapi import APIRouter

from samjax.web.annotation_routes import AnnotationId
from samjax.web.guard import API
from samjax.web.image_routes import ImageId
from samjax.web.permissions import layer_on, shown_name
from samjax.web.refusals import invalid, not_found
from samjax.web.review_schemas import (
    MaskReview,
    MaskReviewIn,
    MaskReviewList,
    MaskVersions,
)
from samjax.web.services import Caller, Wanted, errors
from samjax.web.stored_annotations import annotation_body

router = APIRouter(prefix=API, tags=["reviews"])


@router.get("/images/{image}/reviews", responses=errors(404))
def list_mask_reviews(
    services: Wanted, caller: Caller, image: ImageId
) -> MaskReviewList:
    """Lists the newest verdicts on the masks of an image, as far as they are unchanged.

    Of a review that has not ended, only the reviewer gets them.
    """
    name = services.gallery.file(image).name
    if caller is None or layer_on(services, caller, name):
        return MaskReviewList(reviews=[])
    reviews = services.mask_reviews.of_image(name, caller.name)
    return MaskReviewList(
        reviews=[
            MaskReview(
                annotation=review.annotation,
                revision=review.revision,
                verdict=review.verdict,
                note=review.note,
                reviewer=shown_name(services, caller, review.reviewer),
                created=review.created,
            )
            for review in reviews
        ]
    )


@router.post(
    "/annotations/{annotation}/review", status_code=204, responses=errors(404, 409)
)
def review_mask(
    services: Wanted, caller: Caller, annotation: AnnotationId, given: MaskReviewIn
) -> None:
    """Stores a verdict on a mask of the image that the person reviews."""
    if caller is None:
        raise not_found("review", "", "start the server with --engine")
    try:
        services.mask_reviews.add(
            given.task,
            caller.name,
            annotation,
            given.revision,
            given.verdict,
            given.note,
        )
    except ValueError as error:
        raise invalid(str(error)) from error


@router.get("/annotations/{annotation}/versions", responses=errors(404))
def list_versions(
    services: Wanted, caller: Caller, annotation: AnnotationId
) -> MaskVersions:
    """Lists the versions of a mask, the oldest first; deleted masks have them too."""
    versions = services.store.history(annotation)
    return MaskVersions(
        versions=[annotation_body(stored, services, caller) for stored in versions]
    )
