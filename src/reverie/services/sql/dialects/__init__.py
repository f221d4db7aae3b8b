"""The databases that can be served, one file each; only `reverie.app` names them."""
