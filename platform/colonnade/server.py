"""Running the web application: granian by default, uvicorn by choice."""

import os

from granian import Granian
from granian.constants import Interfaces

from colonnade.app import create_app
from colonnade.garbage import collect_rarely
from colonnade.observability import configure_logging
from colonnade.orphans import end_with_parent
from colonnade.settings import Settings, ensure_secret_key
from colonnade.stopping import Stopping, leave_at_once
from colonnade.tracing.switch import start

_DATABASE_URL = "COLONNADE_SERVICE_DATABASE_URL"
STOPPING = 10
"""Seconds that requests under way have when the process is told to stop and has drained."""
LEAVING = 5
"""Seconds more that it has to close what it has open, before granian kills it."""
_OUR_LOGGING = {"handlers": {}, "formatters": {}, "loggers": {"_granian": {"propagate": True}}}
"""What granian says goes where `configure_logging` sends every line."""


def application() -> Stopping:
    """The application of one worker process, from the environment that `run` prepared."""
    environ = dict(os.environ)
    database_url = environ.pop(_DATABASE_URL)
    settings = Settings.load(environ)
    configure_logging(settings.log_level.upper(), settings.log_format)
    end_with_parent(_seconds_to_stop(settings))
    tracing = start("web")
    app = create_app(settings, database_url=database_url, secret_key=ensure_secret_key(settings))
    app.on_shutdown.append(tracing.stop)
    collect_rarely()
    return Stopping(app, settings.server, settings.drain_seconds)


def run(settings: Settings, database_url: str) -> None:
    """Serve until the process is told to stop. Blocks."""
    os.environ[_DATABASE_URL] = database_url
    collect_rarely()  # children share what is frozen; and to leave takes this process a tenth of the time (measured)
    if settings.server == "uvicorn":
        import uvicorn

        uvicorn.run(
            "colonnade.server:application",
            factory=True,
            interface="asgi3",  # uvicorn would look for a coroutine function
            host=settings.host,
            port=settings.port,
            workers=settings.web_workers,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # `trusted_proxies` says which are believed
            timeout_graceful_shutdown=STOPPING,
        )
        return
    os.register_at_fork(after_in_child=leave_at_once)
    Granian(
        "colonnade.server:application",
        factory=True,
        address=settings.host,
        port=settings.port,
        workers=settings.web_workers,
        interface=Interfaces.ASGI,
        log_dictconfig=_OUR_LOGGING,
        log_access=False,
        workers_kill_timeout=_seconds_to_stop(settings),
        respawn_failed_workers=True,
    ).serve()


def _seconds_to_stop(settings: Settings) -> int:
    return settings.drain_seconds + STOPPING + LEAVING
