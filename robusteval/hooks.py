"""The marker of hook implementations; light, so that metrics can use it without torch."""

from __future__ import annotations

from typing import Any

GROUP = "robusteval"
# of what plugins import (robusteval.api, robusteval.testing) and of the hooks; docs/write-a-plugin.md says what may
# change: the first number grows where a plugin must be changed, the second with everything that is added
API_VERSION = "1.2"

try:
    import pluggy
except (
    ImportError
):  # `verify` derives again where only numpy, ONNX Runtime, pyarrow and safetensors are; nothing is discovered there

    def hookimpl(function: Any) -> Any:
        """Leaves the function as it is."""
        return function
else:
    hookimpl = pluggy.HookimplMarker(GROUP)
