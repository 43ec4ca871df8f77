"""What is asked about proteins of one's own without a trained model."""
