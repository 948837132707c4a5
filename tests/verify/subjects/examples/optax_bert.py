"""The BERT of jax_bert.py with a step of optax's AdamW: `bertref verify python:optax_bert.py:Bert`."""

import jax_bert
import optax


def update(settings, params, grads):
    """What optax adds to the parameters: clipping by the global norm, then AdamW from the case's moments."""
    transform = optax.chain(
        optax.clip_by_global_norm(settings["clip_norm"]),
        optax.adamw(settings["rate"], settings["beta1"], settings["beta2"], settings["epsilon"],
                    weight_decay=settings["weight_decay"],
                    mask={name: name in settings["decayed"] for name in params}),
    )  # fmt: skip
    moments = settings["moments"]
    state = optax.tree.set(
        transform.init(params), count=settings["step"] - 1,
        mu={name: moments[name + "/m"] for name in params}, nu={name: moments[name + "/v"] for name in params},
    )  # fmt: skip
    return transform.update(grads, state, params)[0]


class Bert(jax_bert.Bert):
    def forward(self, case):
        answers = super().forward(case)
        grads = {name: answers["grad:" + name] for name in case["params"]}
        updates = update(case["optimizer"], case["params"], grads)
        return answers | {"update:" + name: change for name, change in updates.items()}
