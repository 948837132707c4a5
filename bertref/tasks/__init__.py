"""What training and inference share of a task: texts to features, windows, logits to answers."""
