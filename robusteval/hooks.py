"""The marker of hook implementations; light, so that metrics can use it without torch."""

from __future__ import annotations

import pluggy

GROUP = "robusteval"
hookimpl = pluggy.HookimplMarker(GROUP)
