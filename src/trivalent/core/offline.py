"""No dependency reports on its user: settled here before any of them is imported.

Variables of the environment, because they hold from the first instruction of a library (onnxruntime
starts its telemetry while it is loaded, too early for a call of ours) and in every child process.

They are set whatever the environment says: somebody who allowed a library to report in general has
not allowed it to report on the recordings that are analysed here. Downloads that a user asks for
(`trivalent data fetch`, a larger Whisper model) are not reports and stay possible.
"""

from __future__ import annotations

import os

QUIET = {
    # onnxruntime: device id and event queue below ~/.cache, events sent to its maker
    "ORT_DISABLE_TELEMETRY": "1",
    # huggingface_hub and hf_xet: which model was asked for, how a transfer went
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Ray: size, libraries and hardware of the cluster, every hour
    "RAY_USAGE_STATS_ENABLED": "0",
    # FastAPI: each request as a trace, to wherever OpenTelemetry's variables point
    "FASTAPI_OTEL_AUTO_CONFIGURE": "false",
    # the common wish not to be followed, for what else may look for it
    "DO_NOT_TRACK": "1",
}
# Streamlit's statistics have an option of the server: see `trivalent.web.server.configuration`.


def be_quiet() -> None:
    """Switch the reports of all dependencies off, for this process and those that it starts.

    >>> be_quiet()
    >>> os.environ["ORT_DISABLE_TELEMETRY"]
    '1'
    """
    os.environ.update(QUIET)
