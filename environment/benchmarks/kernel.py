"""How long cells take and how much memory a session has, against rustc alone and against evcxr_jupyter."""

raise SystemExit("not written yet")
