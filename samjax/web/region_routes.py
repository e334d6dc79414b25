"""Routes of regions to blur: drawn, listed, removed."""

from typing import Annotated

from fastapi import APIRouter, Path

from samjax.engine.annotations.people import Person
from samjax.engine.annotations.regions import DrawnRegion
from samjax.web.guard import API
from samjax.web.image_routes import ImageId
from samjax.web.refusals import invalid
from samjax.web.review_schemas import Region, RegionIn, RegionList
from samjax.web.services import Caller, Wanted, errors

router = APIRouter(prefix=API, tags=["regions"])

RegionId = Annotated[str, Path(description="Its uuid.", max_length=64)]


@router.get("/images/{image}/regions", responses=errors(404))
def list_regions(services: Wanted, caller: Caller, image: ImageId) -> RegionList:
    """Lists the regions of an image that are to be blurred (`samjax engine blur`)."""
    name = services.gallery.file(image).name
    regions = services.regions.all(name)
    return RegionList(regions=[_body(one, caller) for one in regions])


@router.post("/images/{image}/regions", status_code=201, responses=errors(404, 409))
def add_region(
    services: Wanted, caller: Caller, image: ImageId, given: RegionIn
) -> Region:
    """Stores a region; one of the same uuid that was removed is there again."""
    file, header = services.gallery.usable(image)
    left, top, right, bottom = given.box
    is_inside = 0 <= left < right <= header.width and 0 <= top < bottom <= header.height
    if not is_inside:
        raise invalid(
            f"box: got {list(given.box)}, expected left < right up to {header.width} and "
            f"top < bottom up to {header.height}"
        )
    person = given.author if caller is None else caller.name
    region = services.regions.add(file.name, given.uuid, given.box, person)
    return _body(region, caller)


@router.delete("/regions/{region}", status_code=204, responses=errors(404))
def remove_region(services: Wanted, caller: Caller, region: RegionId) -> None:
    """Removes a region; 204 also if it was removed before."""
    services.regions.remove(region, "" if caller is None else caller.name)


def _body(region: DrawnRegion, caller: Person | None) -> Region:
    # Of others, as of a gold image's owner, nobody but the owner is told.
    is_shown = caller is None or caller.role == "owner" or caller.name == region.author
    return Region(
        uuid=region.uuid,
        box=region.box,
        author=region.author if is_shown else "",
        created=region.created,
    )
