"""The brands of accounts, and the files that carry their colours."""

from colonnade_portal_page.brand import NAMELESS, palette
from colonnade_portal_page.brand import Brand as PageBrand
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object


class Brand(PageBrand):
    """A brand whose files this server has; `icon` and `logo` are paths on it."""

    __slots__ = ()

    @property
    def stylesheet(self) -> str:
        return f"/p/brand/{self.primary}-{self.secondary}.css"

    @property
    def tile(self) -> str:
        """What a browser's tab shows where there is no icon."""
        return f"/p/brand/{self.primary}.svg"


def of(account: Object) -> Brand:
    """The public face of an account; what it has not told is filled in."""
    profile, settings = account["business_profile"] or {}, account["settings"] or {}
    branding = settings.get("branding") or {}
    primary, secondary = palette(branding.get("primary_color"), branding.get("secondary_color"))
    return Brand(
        name=profile.get("name") or settings.get("dashboard", {}).get("display_name") or NAMELESS,
        icon=_image(branding.get("icon")),
        logo=_image(branding.get("logo")),
        primary=primary,
        secondary=secondary,
        support_email=profile.get("support_email"),
        support_phone=profile.get("support_phone"),
        support_url=profile.get("support_url"),
    )


def of_account(sandbox: Sandbox, account: str) -> Brand:
    """The brand of an account by its id; a plain one where it is gone."""
    return of(sandbox.store.find(account, "account", account) or {"business_profile": {}, "settings": {}})


def _image(file: str | None) -> str | None:
    return f"/files/{file}/contents" if file else None


def tile(primary: str) -> str:
    shape = f'<rect width="32" height="32" rx="8" fill="#{primary}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{shape}</svg>'
