"""What an answer is worth: pure functions of tensors, one file a benchmark family."""
