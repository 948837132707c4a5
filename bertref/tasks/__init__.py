"""What a trained model is used for: features of texts, and the answers of its heads."""
