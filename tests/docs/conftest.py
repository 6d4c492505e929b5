"""One demo and one browser for the pages that need them."""

from tests.end_to_end.conftest import demo, replies
from tests.end_to_end.test_browser import browser, page

__all__ = ["browser", "demo", "page", "replies"]
