"""The `colonnade` command as a program, with only the settings that a test names."""

import os
import subprocess
import sys

SECRET_KEY = "0123456789abcdef0123456789abcdef"


def colonnade(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `colonnade …` with only these settings, named without their prefix."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COLONNADE_")}
    environ |= {f"COLONNADE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "colonnade", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def external(url: str) -> dict[str, str]:
    """The settings of a service on the database at *url*."""
    return {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY, "STRIPE_API_KEY": "sk_test_cli"}
