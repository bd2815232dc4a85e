"""Parts of `environment/bench kernel`."""
