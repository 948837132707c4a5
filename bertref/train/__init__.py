"""Training: the step, the loop around it, checkpoints and the run's folder, which know no objective by name.

    step.py run_folder.py     one step of any objective (`bertref.objectives`); whose folder it is, and run.json
    loop.py                   steps with reports, evaluations and checkpoints; figures.py and diverged.py look at them
    checkpoints.py            a run's state from the device to the disk and back
    pretraining/              the options, set-up, batches and evaluation of a pre-training run, and the run itself
    finetuning/               the same of a run that learns a task
    parallel/                 several processes, which share the work of a step: each computes some of its chunks with
                              the whole batch's denominators; losses, figures and gradients are added up

Another kind of run would be a room beside these with a `loop.Task` of its own.
"""

from .finetuning.options import FinetuneOptions
from .finetuning.run import FinetuneResult, finetune
from .pretraining.options import PretrainOptions
from .pretraining.run import Result, pretrain
from .results import StepResult
from .step import State, TrainingRecipe, train_step

__all__ = [
    "FinetuneOptions", "FinetuneResult", "PretrainOptions", "Result", "State", "StepResult", "TrainingRecipe",
    "finetune", "pretrain", "train_step",
]  # fmt: skip
