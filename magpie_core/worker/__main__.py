"""Start a worker on standard input and output: python -m magpie_core.worker"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
from pathlib import Path

from magpie_core.worker.server import Server, StdioTransport


def main() -> None:
    """Read the options, take the channel, work."""
    parser = argparse.ArgumentParser(prog="python -m magpie_core.worker", description="The worker of a panel.")
    parser.add_argument("--folder", type=Path, help="private folder of the panel; removed if the panel is gone")
    parser.add_argument("--log", type=Path, help="where standard error is written, to be named in messages")
    options = parser.parse_args()
    channel = StdioTransport()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    Server(channel, folder=options.folder, log=options.log).run()
    logging.shutdown()
    os._exit(0)  # taking torch apart in order takes a second, and whoever closes the panel waits for it


if __name__ == "__main__":
    main()
