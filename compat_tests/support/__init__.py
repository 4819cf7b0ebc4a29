"""What the black-box tests share: the broker process, client workers, raw frames, deadlines."""
