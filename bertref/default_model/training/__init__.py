"""How the default model is made, from reviews to its folder: `python -m bertref.default_model.training`."""
