"""Training in several processes, data-parallel: each computes the gradients of its share of every batch, the gradients
are added up, and all make the same update.

    world.py       what the processes say to each other, and the process that is alone
    torchrun.py    the processes that torchrun has started, joined by torch.distributed
    meeting.py     how the processes of one start tell each other from those of an earlier one
    sums.py        gradients, losses and figures of the whole batch from those of its shares
    shards.py      the optimiser's state, shared out
    agreement.py   what has to be the same in all processes: options, the first state, the weights
"""
