"""The marker of hook implementations; light, so that metrics can use it without torch."""

from __future__ import annotations

from typing import Any

GROUP = "robusteval"

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
