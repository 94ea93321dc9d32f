"""The programs under test: from the build folder that CHECK_BUILD names."""
import os
from pathlib import Path


class Build:
    def __init__(self):
        folder = os.environ.get("CHECK_BUILD")
        assert folder, "CHECK_BUILD must name a build folder (packaging/check sets it)"
        self.folder = Path(folder).resolve()
        self.pail = self.folder / "fs" / "cli" / "pail"
        self.server = self.folder / "s3" / "server" / "pail-server"
        self.farwire = self.folder / "tests" / "bench" / "farwire"
